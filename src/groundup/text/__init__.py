"""Text before tokenization: documents, JSON Lines, labels, normalization, duplicates, runs of 13 words.

It is independent of any dataset and model. `source` compares Python modules by their meaning.
"""
