"""Word vectors: Word2Vec and GloVe learned from scratch, compared with gensim, and probes of contextual vectors.

They train through the loop of `training`, and serve the study alone; the token embeddings of the language models are
part of `nn`.
"""
