"""The gates for data: expectations on raw rows and on splits, as reports of what was checked and what failed.

Drawing the report as a page is the business of reports.
"""
