"""Random tokens that repeat their n-grams about as a text does, for a probe before there is a text."""

import numpy as np
from numpy.typing import NDArray

STORE = 0.15  # tokens that phrases are taken from, as a share of the text
PHRASE = 3.0  # tokens of a phrase on average
FLATNESS = 3.0  # q of Zipf and Mandelbrot's law for tokens; frequent tokens of a tokenizer are parts of words


def random_text(rng: np.random.Generator, vocab_size: int, tokens: int) -> NDArray[np.uint32]:
    """Draw a text of phrases, which are taken from a store of random tokens: n-grams repeat because phrases do.

    The frequencies of tokens and of phrases follow the law of Zipf and Mandelbrot, 1 / (rank + q). Of 3.6 million
    tokens of a vocabulary of 2,048, the most frequent 524,287 n-grams of 2 to 4 tokens cover 63% of all places here,
    as in the default corpus, but 43% if tokens are drawn independently.
    """
    store = _zipf(rng, vocab_size, max(round(tokens * STORE), 1), FLATNESS).astype(np.uint32)
    lengths = rng.geometric(1 / PHRASE, round(tokens / PHRASE) + 1)
    starts = rng.permutation(len(store))[_zipf(rng, len(store), len(lengths), 1.0)]
    ends = np.cumsum(lengths)
    places = np.arange(ends[-1], dtype=np.int32)  # in place and in 32 bits: the probe measures its memory
    places += np.repeat((starts - ends + lengths).astype(np.int32), lengths)
    places %= len(store)
    return np.resize(store[places], tokens)


def _zipf(rng: np.random.Generator, kinds: int, size: int, flatness: float) -> NDArray[np.int64]:
    """Draw numbers below `kinds`, each with a chance proportional to 1 / (number + flatness)."""
    chances = np.cumsum(1 / (np.arange(kinds) + flatness))
    return np.searchsorted(chances, rng.random(size) * chances[-1])
