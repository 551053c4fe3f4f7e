"""Expectations on raw and split data, checked by Great Expectations; a failing one stops the pipeline.

It describes what is wrong and where; the page about it is in `reports`.
"""
