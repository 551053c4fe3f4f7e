"""Inspection of trained models: their parts, their attention on one text, and one query's attention step by step.

The results are numbers and arrays for one model and one text; scores of models are in `evaluation`. Reading
stored results needs no torch, so that reports can draw them.
"""
