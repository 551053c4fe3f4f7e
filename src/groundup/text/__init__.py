"""Text before tokenization: documents, JSON Lines, labels, normalization, duplicates, runs of shared words.

This room depends on no dataset and no model. Its module `source` compares Python modules by their meaning.
"""
