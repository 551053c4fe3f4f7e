"""Tokenizers: text to ids and back, by byte-level BPE, WordPiece or characters, trained from scratch.

`interop` imports and exports the vocabularies of models that were pretrained elsewhere.
"""
