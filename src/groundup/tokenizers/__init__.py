"""Tokenizers written by hand: byte-pair encoding, WordPiece and characters, trained, saved, loaded and measured.

Reading and writing other libraries' tokenizer files is the business of interop.
"""
