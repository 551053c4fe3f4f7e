"""The table against words that are merged one by one, and pairs that are counted again after each merge."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from groundup.tokenizers.pairs import PairTable

Pair = tuple[int, int]


def merged(word: Sequence[int], pair: Pair, token: int) -> list[int]:
    result: list[int] = []
    i = 0
    while i < len(word):
        step = 2 if tuple(word[i : i + 2]) == pair else 1
        result.append(token if step == 2 else word[i])
        i += step
    return result


def counted(words: Sequence[Sequence[int]], occurrences: Sequence[int]) -> dict[Pair, int]:
    counts: Counter[Pair] = Counter()
    for word, n in zip(words, occurrences, strict=True):
        for pair in pairwise(word):
            counts[pair] += n
    return dict(counts)


def in_table(table: PairTable) -> dict[Pair, int]:
    """The pairs that occur; each has one row, and rows of pairs that are gone have the count 0."""
    rows = [row for row in range(len(table)) if table.counts[row]]
    found = {(int(table.pairs[row, 0]), int(table.pairs[row, 1])): int(table.counts[row]) for row in rows}
    assert len(found) == len(rows)
    return found


words_of_few = st.lists(st.lists(st.integers(0, 2), max_size=30), min_size=1, max_size=5)


@given(words_of_few, st.data())
def test_one_merge_at_a_time(words: list[list[int]], data: st.DataObject) -> None:
    """Some merges make a new token, others one that exists."""
    occurrences = data.draw(st.lists(st.integers(1, 5), min_size=len(words), max_size=len(words)))
    table = PairTable(words, occurrences)
    newest = 2
    while pairs := in_table(table):
        assert pairs == counted(words, occurrences)
        pair = data.draw(st.sampled_from(sorted(pairs)))
        # A token that is part of the pair would let it occur again, which the spelling of tokens rules out.
        known = [token for token in range(newest + 1) if token not in pair]
        token = data.draw(st.sampled_from([newest + 1, *known])) if newest < 8 else newest + 1
        row = next(r for r in range(len(table)) if table.counts[r] and tuple(table.pairs[r]) == pair)
        before = sum(len(word) * n for word, n in zip(words, occurrences, strict=True))
        words = [merged(word, pair, token) for word in words]
        after = sum(len(word) * n for word, n in zip(words, occurrences, strict=True))
        assert table.merge([row], [token]) == before - after
        newest = max(newest, token)
        if newest > 12:
            break


@given(words_of_few)
def test_several_merges_at_once(words: list[list[int]]) -> None:
    """0 and 1 on the left, 2 on the right: no two occurrences overlap, but they may follow each other."""
    occurrences = [n + 1 for n in range(len(words))]
    table = PairTable(words, occurrences)
    rows = [row for row in range(len(table)) if tuple(table.pairs[row]) in {(0, 2), (1, 2)}]
    if not rows:
        return
    tokens = [3 + int(table.pairs[row, 0]) for row in rows]
    table.merge(rows, tokens)
    for pair, token in (((0, 2), 3), ((1, 2), 4)):
        words = [merged(word, pair, token) for word in words]
    assert in_table(table) == counted(words, occurrences)


def test_by_hand() -> None:
    table = PairTable([[1, 1, 1, 1, 1], [2]], [10, 7])
    assert in_table(table) == {(1, 1): 40}
    assert table.merge([0], [3]) == 20  # 1 1 1 1 1 -> 3 3 1
    assert in_table(table) == {(3, 3): 10, (3, 1): 10}


def test_frequency() -> None:
    table = PairTable([[0, 1, 0], [2]], [10, 7])
    np.testing.assert_array_equal(table.frequency(4), [20, 10, 7, 0])


def test_no_pairs() -> None:
    assert len(PairTable([], [])) == len(PairTable([[], [1]], [3, 4])) == 0
