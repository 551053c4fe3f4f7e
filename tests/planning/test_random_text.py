import numpy as np
from numpy.typing import NDArray

from groundup.planning.random_text import random_text

VOCABULARY, TOKENS = 2048, 200_000


def covered(ids: NDArray[np.integer], order: int) -> float:
    """Share of places whose n-gram occurs more than once."""
    codes = np.zeros(len(ids) - order + 1, dtype=np.int64)
    for place in range(order):
        codes = codes * VOCABULARY + ids[place : len(codes) + place]
    _, counts = np.unique(codes, return_counts=True)
    return float(counts[counts > 1].sum() / len(codes))


def test_n_grams_repeat_more_than_those_of_independent_tokens() -> None:
    text = random_text(np.random.default_rng(0), VOCABULARY, TOKENS)
    assert (len(text), text.max()) == (TOKENS, VOCABULARY - 1)
    shuffled = np.random.default_rng(1).permutation(text)
    for order in (2, 3, 4):
        assert covered(text, order) > covered(shuffled, order) + 0.1
    assert covered(text, 2) > covered(text, 3) > covered(text, 4)


def test_few_tokens_are_a_text_too() -> None:
    for tokens in (0, 1, 2, 5):
        assert len(random_text(np.random.default_rng(0), 300, tokens)) == tokens
