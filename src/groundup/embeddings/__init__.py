"""Word vectors: Word2Vec and GloVe trained from scratch, a comparison with gensim, and probes of contextual vectors.

They train through the loop of `training`, and only the study uses them. The token embeddings of the language models are
in `nn`.
"""
