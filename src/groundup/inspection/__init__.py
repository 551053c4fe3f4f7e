"""Trained models taken apart: what they are made of, where they look while they read a text, one look worked out.

Gives numbers and arrays of a single model and text (scores of models are the business of evaluation); what is stored
here needs no torch to be read, so that reports can draw it.
"""
