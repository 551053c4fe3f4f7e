"""The gates for data: expectations on raw rows and on splits, with reports of what was checked and what failed.

The room reports turns these reports into pages.
"""
