"""Text before any tokenizer: normalising, 13-gram overlap, duplicates, documents, JSON Lines, the meaning of code.

Knows no dataset and no model.
"""
