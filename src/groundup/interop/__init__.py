"""Models and tokenizers of Hugging Face and llama.cpp, imported and exported: config, weights, vocabulary, model card.

Names and shapes are compared before any weight is read. No pickle is opened and no downloaded code is run. A model
that the other side cannot compute is refused with the reason.
"""
