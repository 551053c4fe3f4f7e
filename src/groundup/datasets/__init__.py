"""Datasets: the catalogue of where each comes from, readers for their formats, cleaning, deduplicating, splitting.

Rows are dictionaries in JSON Lines, the same for every location of a dataset. Similar texts are never split between
training and evaluation. This is the only room that downloads anything (`locations`). The checks that stop a pipeline
are in `validation`; tasks that groundup generates itself are in `verifiable`; batches for training are in `training`.
"""
