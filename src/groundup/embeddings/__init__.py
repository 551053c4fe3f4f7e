"""Word vectors: Word2Vec and GloVe from scratch, a comparison with gensim, and probes of contextual vectors.

Word2Vec and GloVe train through the loop of `training`. Only the study uses this room. The token embeddings
of the language models are in `nn`.
"""
