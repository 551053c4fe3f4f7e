"""The gate: whether a challenger replaces the champion, decided from the answers of both on the same held-out rows.

It consists of paired tests, vetoes, and an error budget for a year of repeated looks. It runs no model and moves no
alias: it receives arrays and returns a `Verdict`.
"""
