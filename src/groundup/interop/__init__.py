"""Models of other libraries, in and out: Hugging Face folders and llama.cpp's GGUF files.

Configs, weights, tokenizers, chat templates and model cards are translated and compared; nothing is trained.
"""
