"""Expectations on raw and split data, checked by Great Expectations; one that fails stops the pipeline.

It describes what is wrong and where; `reports` draws the page about it.
"""
