"""Generating text with a model: sampling, decoding with a cache, beam search, prompt styles, chat templates.

How the text is scored or shown does not matter here.
"""
