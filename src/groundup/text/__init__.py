"""Text before tokenization: JSON Lines, normalization, duplicates, the search for evaluation items in training text.

This room depends on no dataset and no model. Its module `source` compares Python modules by their meaning.
"""
