"""Numbers about models: metrics with intervals, baselines, and the tables that pages and documents are made of.

Measures and draws nothing: pictures, pages and their words are the business of reports.
"""
