"""Text before tokenization: normalization, 13-gram overlap, duplicates, documents, JSON Lines, the meaning of code.

Independent of any dataset or model.
"""
