"""A table of adjacent pairs: where each occurs in the words of a corpus and how often, kept up to date by merges.

BPE and WordPiece learn in the same way: choose a pair of adjacent tokens, replace it by one token everywhere, choose
again. They differ in the choice. The table does the replacing, for one pair or several at once, with operations on
whole arrays.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

NONE = -1  # at a position: no token (the border of a word, or a place that a merge has emptied), or no pair


class PairTable:
    """The words of a corpus as arrays of token ids, and the pairs of adjacent tokens in them.

    All words lie in one array, with a border before, between and after them: ab, c are [NONE, a, b, NONE, c, NONE]. A
    position is an index of this array. A merge keeps the position of its left token and empties that of the right one,
    so the table also holds the position before and behind each token, as a linked list does.

    Each distinct pair has a row. As a token gets all its neighbours when it is made, a pair of two tokens gets all its
    occurrences when the younger one is made; from then on it only loses some. Its positions are therefore written once,
    as one slice, and those that it has lost are recognised by their `row`.

    Attributes:
        pairs: row -> the ids of the two tokens, (rows, 2).
        counts: row -> how often the pair occurs in the corpus, (rows,).
    """

    def __init__(self, spellings: Sequence[Sequence[int]], occurrences: Sequence[int]) -> None:
        """Make the table.

        Args:
            spellings: each distinct word as token ids below 2^31; altogether fewer than 2^31 of them.
            occurrences: how often each of these words occurs.
        """
        lengths = np.fromiter(map(len, spellings), np.int64, len(spellings))
        size = int(lengths.sum()) + len(spellings) + 1
        in_word = np.ones(size, dtype=bool)
        in_word[0] = in_word[np.cumsum(lengths + 1)] = False
        # position -> token, its weight (how often its word occurs), its neighbours, the row of the pair that it begins
        self._ids = np.full(size, NONE, dtype=np.int32)
        self._ids[in_word] = np.fromiter(chain.from_iterable(spellings), np.int32)
        self._weights = np.zeros(size, dtype=np.int64)
        self._weights[in_word] = np.repeat(np.array(occurrences, dtype=np.int64), lengths)
        self._before = np.arange(-1, size - 1, dtype=np.int32)
        self._behind = np.arange(1, size + 1, dtype=np.int32)
        self._row = np.full(size, NONE, dtype=np.int32)
        self._newest = int(self._ids.max(initial=NONE))  # the largest id of all tokens so far
        # These arrays are longer than what they hold; see _with_room.
        self._rows = 0
        self._pairs = np.empty((0, 2), dtype=np.int32)
        self._counts = np.empty(0, dtype=np.int64)
        self._ends = np.zeros(1, dtype=np.int64)  # row r has the positions ends[r] to ends[r + 1]
        self._positions = np.empty(0, dtype=np.int32)
        self._add(np.flatnonzero(in_word[:-1] & in_word[1:]))

    def __len__(self) -> int:
        """Return the number of rows."""
        return self._rows

    @property
    def pairs(self) -> NDArray[np.int32]:
        """Row -> the ids of the two tokens, (rows, 2)."""
        return self._pairs[: self._rows]

    @property
    def counts(self) -> NDArray[np.int64]:
        """Row -> how often the pair occurs, (rows,)."""
        return self._counts[: self._rows]

    def frequency(self, n_tokens: int) -> NDArray[np.int64]:
        """Return how often each of `n_tokens` tokens occurs in the corpus, (n_tokens,)."""
        found = np.zeros(n_tokens, dtype=np.int64)
        there = self._ids != NONE
        np.add.at(found, self._ids[there], self._weights[there])
        return found

    def merge(self, rows: Sequence[int], tokens: Sequence[int]) -> int:
        """Replace each occurrence of the pairs in `rows` by the token at the same place in `tokens`.

        Overlapping occurrences of a pair are replaced from the left: 1, 1, 1 becomes 2, 1. New pairs get new rows,
        which come after all others.

        Args:
            rows: distinct pairs that cannot overlap: what is on the right in one is on the left in none. A pair that
                overlaps itself, or whose token existed before, must be the only one.
            tokens: the id of the token that replaces each pair.

        Returns:
            How many occurrences were replaced in the corpus.
        """
        slices = [self._positions[self._ends[row] : self._ends[row + 1]] for row in rows]
        lengths = list(map(len, slices))
        at = np.concatenate(slices)
        joined = np.repeat(np.array(tokens, dtype=np.int32), lengths)
        still_there = self._row[at] == np.repeat(np.array(rows, dtype=np.int32), lengths)
        at, joined = at[still_there], joined[still_there]
        if self._pairs[rows[0], 0] == self._pairs[rows[0], 1]:
            at = self._every_other(np.sort(at))
            joined = joined[: len(at)]

        right = self._behind[at]
        weights = self._weights[at]
        self._ids[right] = NONE
        # The pairs at both sides lose an occurrence. Between two replaced occurrences is one pair, not two: it counts
        # as that behind the first, since the second finds no token before itself.
        left = self._before[at]
        has_left = self._ids[left] != NONE
        left = left[has_left]
        lost = self._row[right]
        np.subtract.at(self._counts, lost[lost != NONE], weights[lost != NONE])
        np.subtract.at(self._counts, self._row[left], weights[has_left])
        self._counts[rows] = 0

        following = self._behind[right]
        self._ids[at] = joined
        self._behind[at] = following
        self._before[following] = at
        for changed in (at, right, left):
            self._row[changed] = NONE
        self._add(np.concatenate([left, at[self._ids[following] != NONE], *self._existing(tokens[0])]))
        self._newest = max(self._newest, *tokens)
        return int(weights.sum())

    def _every_other(self, at: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return every other one of a run of overlapping occurrences: those that a pass from the left replaces.

        Args:
            at: positions of a pair of equal tokens, ascending.
        """
        index = np.arange(len(at))
        begins = np.ones(len(at), dtype=bool)
        begins[1:] = self._behind[at[:-1]] != at[1:]
        run = np.maximum.accumulate(np.where(begins, index, 0))  # where the run of each began
        return at[(index - run) % 2 == 0]

    def _existing(self, token: int) -> list[NDArray[np.int32]]:
        """Empty the rows of a token that existed before, and return their positions, to be added again.

        Its pairs may get further occurrences now, but a row cannot grow.
        """
        if token > self._newest:
            return []
        (rows,) = np.nonzero((self.pairs == token).any(axis=1) & (self.counts > 0))
        self._counts[rows] = 0
        slices = [(row, self._positions[self._ends[row] : self._ends[row + 1]]) for row in rows]
        return [at[self._row[at] == row] for row, at in slices]

    def _add(self, at: NDArray[Any]) -> None:
        """Give rows to the pairs that begin at these positions."""
        keys = self._ids[at].astype(np.int64) << 32 | self._ids[self._behind[at]]
        order = np.argsort(keys)
        at, keys = at[order], keys[order]
        (starts,) = np.nonzero(np.diff(keys, prepend=-1))
        if not len(starts):
            return
        ends = np.append(starts[1:], len(at))
        old, new = self._rows, self._rows + len(starts)
        written = int(self._ends[old])
        self._pairs = _with_room(self._pairs, new)
        self._counts = _with_room(self._counts, new)
        self._ends = _with_room(self._ends, new + 1)
        self._positions = _with_room(self._positions, written + len(at))
        self._pairs[old:new, 0] = keys[starts] >> 32
        self._pairs[old:new, 1] = keys[starts] & 0xFFFFFFFF
        self._counts[old:new] = np.add.reduceat(self._weights[at], starts)
        self._ends[old + 1 : new + 1] = written + ends
        self._positions[written : written + len(at)] = at
        self._row[at] = np.repeat(np.arange(old, new, dtype=np.int32), ends - starts)
        self._rows = new


def _with_room(array: NDArray[Any], size: int) -> NDArray[Any]:
    """Return the array, or a copy of at least twice its length, so that it has room for `size` entries."""
    if size <= len(array):
        return array
    longer = np.empty((max(size, 2 * len(array)), *array.shape[1:]), dtype=array.dtype)
    longer[: len(array)] = array
    return longer
