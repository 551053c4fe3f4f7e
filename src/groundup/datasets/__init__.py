"""Datasets: a catalogue of sources, readers for formats, cleaning, deduplicating, splitting, preference pairs.

The rows of a dataset are dictionaries in JSON Lines, the same whichever location served them. Except under
the protocol "book", similar texts are never split between training and evaluation. Only this room (its module
`locations`) downloads anything. The checks that stop a pipeline are in `validation`; tasks that groundup
generates itself are in `verifiable`; batches for training are in `training`.
"""
