"""Evaluation: metrics with intervals, classical baselines, bits per byte, BLEU and chrF, a model as judge.

Results are plain dictionaries that stages write as JSON. Pages and pictures are in `reports`.
"""
