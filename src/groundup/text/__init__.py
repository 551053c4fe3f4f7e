"""Text without tokens: documents, JSON Lines, labels, normalization, duplicates, and overlap by runs of 13 words."""
