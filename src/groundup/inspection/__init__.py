"""Inspection of trained models: their parts, their attention on one text, and the attention of one query step by step.

The results are numbers and arrays for one model and one text; scores of models are in `evaluation`. Reading the stored
results needs no torch, so that reports can draw them.
"""
