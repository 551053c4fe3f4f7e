"""Text to token ids and back: byte-level BPE, WordPiece and characters, trained from scratch.

Published vocabularies are imported and exported by `interop`.
"""
