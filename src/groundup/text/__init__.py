"""Text before a tokenizer sees it: documents, JSON Lines, labels, normalization, duplicates, runs of 13 words.

It knows no dataset and no model. `source` compares Python modules by what they mean.
"""
