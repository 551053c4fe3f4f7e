"""Tasks whose answers a program can check: each family asks, answers and grades.

Instructions made here are a dataset like any other; datasets.catalogue names them.
"""
