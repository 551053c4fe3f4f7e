"""Tokenizers written by hand: train, save, load and measure byte-pair encoding, WordPiece and characters.

The room interop reads and writes the tokenizer files of other libraries.
"""
