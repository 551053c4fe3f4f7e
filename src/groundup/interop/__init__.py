"""Import and export of models: Hugging Face folders and llama.cpp's GGUF files.

This room translates configs, weights, tokenizers, chat templates and model cards; it trains nothing.
"""
