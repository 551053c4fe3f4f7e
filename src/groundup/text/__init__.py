"""Text before a tokenizer sees it: documents, JSON Lines, labels, normalization, duplicates, runs of 13 words."""
