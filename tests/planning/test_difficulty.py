from collections import Counter
from math import log2

import numpy as np
import pytest

from groundup.planning.difficulty import DISCOUNT, ORDER, difficulty


def by_definition(train: bytes, test: bytes) -> float:
    """The same model with dictionaries, one byte at a time."""
    counts: dict[bytes, Counter[int]] = {}
    for order in range(ORDER + 1):
        for end in range(order, len(train)):
            counts.setdefault(train[end - order : end], Counter())[train[end]] += 1

    def probability(context: bytes, byte: int, order: int) -> float:
        if order < 0:
            return 1 / 256
        shorter = probability(context, byte, order - 1)
        seen = counts.get(context[len(context) - order :])
        if seen is None:
            return shorter
        total = sum(seen.values())
        return max(seen[byte] - DISCOUNT, 0) / total + DISCOUNT * len(seen) / total * shorter

    places = range(ORDER, len(test))
    return -sum(log2(probability(test[i - ORDER : i], test[i], ORDER)) for i in places) / len(places)


def test_equals_the_definition() -> None:
    train = b"the cat sat on the mat and the hat sat on the cat, the end"
    test = b"the hat sat on zebras and the cat"
    assert difficulty(train, test) == pytest.approx(by_definition(train, test))


def test_random_letters_and_a_repeated_sentence() -> None:
    letters = np.random.default_rng(0).integers(97, 97 + 4, size=200_000).astype(np.uint8).tobytes()
    assert difficulty(letters[:150_000], letters[150_000:]) == pytest.approx(2, abs=0.02)  # log2(4)
    assert difficulty(b"all work and no play " * 500, b"all work and no play " * 50) < 0.02


def test_short_texts_are_as_hard_as_random_bytes() -> None:
    assert difficulty(b"", b"abc") == difficulty(b"abcdefghijk", b"abc") == 8
