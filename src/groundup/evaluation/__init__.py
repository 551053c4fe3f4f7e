"""Measuring: contamination, metrics with intervals, baselines, plots."""
