"""Near duplicates: messages that differ only in numbers, share 13 consecutive words, or share most of their words."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Le

from groundup.settings import STRICT
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


@dataclass(frozen=True)
class NearDuplicates:
    """Which texts count as near duplicates: those that share most of their runs of a few words.

    Letter case, punctuation and white space are ignored.
    """

    __pydantic_config__ = STRICT

    similarity: Annotated[float, Gt(0), Le(1)]
    """Runs that two texts share, as a share of the runs of both together (Jaccard similarity)."""
    words: Annotated[int, Ge(1)]
    """Words per run. Texts with fewer words are no near duplicates."""


def near_groups(texts: Sequence[str], similar: NearDuplicates | None = None) -> list[int]:
    """Return `linked_groups`, with texts also linked if they have the same template or are `similar`."""
    from scipy.cluster.hierarchy import DisjointSet  # importing it late saves every stage 0.2 s at its start

    linked = linked_groups(texts)
    groups, first = DisjointSet(linked), dict[str, int]()
    for text, group in zip(texts, linked, strict=True):
        groups.merge(first.setdefault(template_of(text), group), group)
    for left, right in similar_pairs(texts, similar) if similar else ():
        groups.merge(linked[left], linked[right])
    return [groups[group] for group in linked]


def similar_pairs(texts: Sequence[str], similar: NearDuplicates) -> list[tuple[int, int]]:
    """Return the pairs of texts whose sets of runs of words are similar; numbers count as equal.

    MinHash proposes pairs, with bands for a lower similarity, so that it misses fewer than one in a million; then the
    sets themselves are compared.
    """
    hashes, owners = window_hashes([*map(normalise, texts)], similar.words, WordNumbers())
    signed, numbers = signatures(hashes, owners, len(texts))
    keys = bands(signed, PROPOSED * similar.similarity)
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
        if len(runs[left] & runs[right]) >= similar.similarity * len(runs[left] | runs[right])
    )


class NearIndex:
    """An index of texts that answers whether another text is a near duplicate of one of them, directly."""

    def __init__(self, texts: Iterable[str]) -> None:
        whole = list(texts)
        self._index = TextIndex(whole)
        self._templates = {template_of(text) for text in whole}

    def __contains__(self, text: object) -> bool:
        return isinstance(text, str) and (template_of(text) in self._templates or text in self._index)
