"""Reports: HTML pages that work offline, and pictures in one style, of the results that stages measured.

This package runs no model and imports no torch, so a page is redrawn in seconds after a sentence or a colour has
changed.
"""
