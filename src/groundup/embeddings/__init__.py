"""Word vectors: skip-gram, CBOW and GloVe by hand, contextual vectors, and the benchmarks that compare them."""
