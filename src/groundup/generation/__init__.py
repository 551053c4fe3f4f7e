"""Generating text: decoding with a key/value cache, sampling, beam search, prompt styles and chat templates.

Uses of the text, such as answering instructions, are in `tasks`.
"""
