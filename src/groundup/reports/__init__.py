"""Pages and pictures from the numbers that stages measured: HTML that reads offline, charts in one style.

It computes no metric and imports no torch, so that a changed sentence or colour redraws a page in seconds.
"""
