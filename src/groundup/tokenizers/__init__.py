"""Text to token ids and back: byte-level BPE, WordPiece and characters, learned from scratch.

Vocabularies that others published are read and written by `interop`.
"""
