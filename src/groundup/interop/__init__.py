"""Import and export of models and tokenizers of Hugging Face and llama.cpp.

It covers config, weights, vocabulary and model card. Names and shapes are compared before any weight is read.
No pickle is opened and no downloaded code is run. A decoder that no class of transformers computes goes out with a
class of its own, modeling_groundup.py, the one file here that is also copied into exported folders. A model that the
other program cannot compute is refused, with the reason.
"""
