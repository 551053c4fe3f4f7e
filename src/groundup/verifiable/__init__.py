"""Tasks whose answers a program can check: each family generates instructions, solves them and grades responses.

The generated instructions are an ordinary dataset; data/catalogue.yaml lists it.
"""
