"""Near duplicates: messages that differ only in numbers, share 13 consecutive words, or share most of their words."""

import re
from collections.abc import Iterable, Sequence
from itertools import combinations, pairwise

import numpy as np

from groundup.text.minhash import bands, signatures
from groundup.text.overlap import TextIndex, WordNumbers, linked_groups, normalise, window_hashes

PROPOSED = 0.75  # pairs are proposed as if the wanted similarity were so much lower
_NUMBER = re.compile("0+(?: 0+)*")  # in a normalised text: "0 000" of "1,000"


def template_of(text: str) -> str:
    """Return the normalised text with every number replaced by the same sign.

    >>> template_of("Pay £1,000 now!") == template_of("pay 5 now")
    True
    """
    return one_number(normalise(text))


def one_number(normalised: str) -> str:
    """Return a normalised text with every number replaced by the same sign."""
    return _NUMBER.sub("0", normalised)


def near_groups(texts: Sequence[str], pairs: Iterable[tuple[int, int]] = ()) -> list[int]:
    """Return `linked_groups`, with texts also linked if they have the same template or are one of the `pairs`."""
    from scipy.cluster.hierarchy import DisjointSet  # importing it late saves every stage 0.2 s at its start

    linked = linked_groups(texts)
    groups, first = DisjointSet(linked), dict[str, int]()
    for text, group in zip(texts, linked, strict=True):
        groups.merge(first.setdefault(template_of(text), group), group)
    for left, right in pairs:
        groups.merge(linked[left], linked[right])
    return [groups[group] for group in linked]


def similar_pairs(texts: Sequence[str], similarity: float, words: int) -> list[tuple[int, int]]:
    """Return the pairs of texts that share most of their runs of so many words; numbers count as equal.

    The similarity is the number of runs that both have, as a share of the runs of both together (Jaccard). MinHash
    proposes pairs, with bands for a lower similarity, so that it misses fewer than one in a million; then the sets
    themselves are compared.
    """
    hashes, owners = window_hashes([*map(normalise, texts)], words, WordNumbers())
    signed, numbers = signatures(hashes, owners, len(texts))
    keys = bands(signed, PROPOSED * similarity)
    order = np.argsort(keys, axis=None, kind="stable")
    same_band = np.split(order // max(1, keys.shape[1]), np.flatnonzero(np.diff(keys.ravel()[order])) + 1)
    proposed = {
        pair for some in same_band if len(some) > 1 for pair in combinations(numbers[some].tolist(), 2)
    }
    ends = np.searchsorted(owners, np.arange(len(texts) + 1))
    runs = [frozenset(hashes[start:stop].tolist()) for start, stop in pairwise(ends)]
    return sorted(
        (left, right)
        for left, right in proposed
        if len(runs[left] & runs[right]) >= similarity * len(runs[left] | runs[right])
    )


class NearIndex:
    """An index of texts that answers whether another text is a near duplicate of one of them, directly."""

    def __init__(self, texts: Iterable[str]) -> None:
        whole = list(texts)
        self._index = TextIndex(whole)
        self._templates = {template_of(text) for text in whole}

    def __contains__(self, text: object) -> bool:
        return isinstance(text, str) and (template_of(text) in self._templates or text in self._index)
