"""N-gram baselines for language models guess the token that occurred most often in the same context.

Each baseline uses the longest context that occurred in training, and otherwise backs off to a shorter one (as
in Katz 1987, but without probabilities, since only the best guess counts). Of equally frequent tokens it
guesses the one with the smallest id. UNKNOWN marks a token that is missing or hidden.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
UNKNOWN = -1
BACKOFF = 0.4


@dataclass(frozen=True)
class BestToken:
    """The most frequent token in each of K contexts of an n-gram baseline.

    Attributes:
        contexts: (K,), as numbers, sorted.
        tokens: (K,), the most frequent token in each.
    """

    contexts: Ids
    tokens: Ids

    @classmethod
    def count(cls, contexts: Ids, tokens: Ids, vocab_size: int) -> "BestToken":
        """Find the most frequent token in each context, from N pairs of contexts (N,) and tokens (N,)."""
        pairs, counts = np.unique(contexts * vocab_size + tokens, return_counts=True)
        found, token = np.divmod(pairs, vocab_size)
        order = np.lexsort((token, -counts, found))
        first = np.flatnonzero(np.diff(found[order], prepend=-1))
        return cls(found[order][first], token[order][first])

    def look_up(self, contexts: Ids) -> Ids:
        """Look up the token of each context, UNKNOWN for one that never occurred; contexts have any shape."""
        place = np.searchsorted(self.contexts, contexts).clip(max=len(self.contexts) - 1)
        return np.where(self.contexts[place] == contexts, self.tokens[place], UNKNOWN)


@dataclass(frozen=True)
class NgramGuesses:
    """An n-gram baseline: guesses a token from its neighbours at fixed offsets, such as (-2, -1) or (-1, 1).

    Attributes:
        vocab_size: number of tokens.
        tables: tuples of offsets with the best token for each context there, in the order of backing off. The
            last tuple is empty and gives the most frequent token overall.
    """

    vocab_size: int
    tables: Sequence[tuple[tuple[int, ...], BestToken]]

    @classmethod
    def fit(
        cls, ids: NDArray[np.unsignedinteger[Any]], vocab_size: int, contexts: Sequence[tuple[int, ...]]
    ) -> "NgramGuesses":
        """Fit the baseline: count tokens and their neighbours.

        Args:
            ids: (N,), a stream of token ids.
            vocab_size: number of tokens.
            contexts: tuples of offsets in the order of backing off, without the empty one.
        """
        stream = ids.astype(np.int64)
        tables = []
        for places in [*contexts, ()]:
            keys = _keys(stream[None], places, vocab_size)[0]
            real = keys != UNKNOWN
            tables.append((places, BestToken.count(keys[real], stream[real], vocab_size)))
        return cls(vocab_size, tables)

    def guess(self, windows: Ids) -> Ids:
        """Guess the token at each position from its neighbours: windows (W, T) -> (W, T).

        Hidden tokens are UNKNOWN.
        """
        found = np.full(windows.shape, UNKNOWN)
        for places, table in self.tables:
            guesses = table.look_up(_keys(windows, places, self.vocab_size))
            found = np.where(found == UNKNOWN, guesses, found)
        return found


@dataclass(frozen=True)
class NgramScores:
    """A language model of n-grams: scores a text by stupid backoff (Brants et al. 2007).

    A token scores its share among the tokens that followed the longest known context, times 0.4 for each token by which
    that context is shorter than the longest possible one. A token that never occurred scores 0.4 times the share of a
    token that occurred once. Scores are no probabilities, but order sentences like them.

    Attributes:
        vocab_size: number of tokens.
        tables: of each order from 1, the n-grams as numbers, sorted, and how often each occurred.
    """

    vocab_size: int
    tables: Sequence[tuple[Ids, Ids]]

    @classmethod
    def fit(cls, ids: NDArray[np.unsignedinteger[Any]], vocab_size: int, longest: int) -> "NgramScores":
        """Count the n-grams of a stream of token ids (N,) up to `longest`, or up to what fits in 64 bits."""
        most = min(longest, int(63 / math.log2(vocab_size)))
        stream = ids.astype(np.int64)[None]
        tables = []
        for order in range(1, most + 1):
            keys = _keys(stream, tuple(range(1 - order, 1)), vocab_size)[0]
            codes, counts = np.unique(keys[keys != UNKNOWN], return_counts=True)
            tables.append((codes, counts))
        return cls(vocab_size, tables)

    def log_score(self, ids: Sequence[int], given: int) -> float:
        """Score the tokens of a text after the first `given`, at least 1: the sum of the logarithms."""
        stream = np.array([ids], dtype=np.int64)
        contexts = np.full(len(ids) - given, len(self), dtype=np.int64)
        places, shares = np.arange(given, len(ids)), np.zeros(len(ids) - given)
        penalty = np.ones(len(ids) - given)
        for order in range(len(self.tables), 0, -1):
            found = self._counts(order, stream)[given:]
            before = self._counts(order - 1, stream)[given - 1 : -1] if order > 1 else contexts
            new = (shares == 0) & (found > 0)
            shares[new] = (penalty * found / np.maximum(before, 1))[new]
            penalty[places >= order - 1] *= BACKOFF  # before that, the text has no such n-gram
        return float(np.log(np.where(shares > 0, shares, penalty / len(self))).sum())

    def __len__(self) -> int:
        """Return the number of tokens counted."""
        return int(self.tables[0][1].sum())

    def _counts(self, order: int, stream: Ids) -> Ids:
        """Return how often the `order` tokens that end at each position of stream (1, T) occurred: (T,)."""
        codes, counts = self.tables[order - 1]
        keys = _keys(stream, tuple(range(1 - order, 1)), self.vocab_size)[0]
        place = np.searchsorted(codes, keys).clip(max=len(codes) - 1)
        return np.where(codes[place] == keys, counts[place], 0)


def next_token(ids: NDArray[np.unsignedinteger[Any]], vocab_size: int) -> NgramGuesses:
    """Fit the trigram baseline for a decoder: it uses the two previous tokens, else the previous one."""
    return NgramGuesses.fit(ids, vocab_size, [(-2, -1), (-1,)])


def hidden_token(ids: NDArray[np.unsignedinteger[Any]], vocab_size: int) -> NgramGuesses:
    """Fit the trigram baseline for an encoder: it uses both neighbours, else the left, else the right one."""
    return NgramGuesses.fit(ids, vocab_size, [(-1, 1), (-1,), (1,)])


def most_frequent(ids: NDArray[np.unsignedinteger[Any]], vocab_size: int) -> int:
    """Return the most frequent token of a stream (N,): the unigram baseline always guesses it."""
    return int(np.bincount(ids, minlength=vocab_size).argmax())


def _keys(windows: Ids, places: tuple[int, ...], vocab_size: int) -> Ids:
    """Encode the neighbours at offsets `places` of each position as one number: windows (W, T) -> (W, T).

    The number is UNKNOWN if any of the neighbours is.
    """
    width = windows.shape[1]
    keys, known = np.zeros_like(windows), np.ones(windows.shape, dtype=bool)
    for place in places:
        shifted = np.full_like(windows, UNKNOWN)
        if place < 0:
            shifted[:, -place:] = windows[:, : width + place]
        else:
            shifted[:, : width - place] = windows[:, place:]
        keys, known = keys * vocab_size + shifted, known & (shifted != UNKNOWN)
    return np.where(known, keys, UNKNOWN)
