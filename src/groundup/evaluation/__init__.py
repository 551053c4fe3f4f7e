"""Evaluation in numbers: metrics with intervals, classical baselines, bits per byte, BLEU and chrF, a model as judge.

Results are plain dictionaries that stages write as JSON. Nothing is drawn here: pages and pictures are in `reports`.
"""
