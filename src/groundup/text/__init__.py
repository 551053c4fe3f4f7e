"""Text as text: what can be said about it before a tokenizer or a model sees it."""
