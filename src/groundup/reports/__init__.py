"""Pages and pictures of the metrics that stages measured: HTML that works offline, charts in one style.

This package computes no metric and imports no torch, so changing a sentence or a colour redraws a page in seconds.
"""
