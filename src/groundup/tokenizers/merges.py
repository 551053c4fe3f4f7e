"""The two algorithms of byte-pair encoding: learn which pairs to merge, and merge the pairs of a word.

Both keep a heap of candidates that may be out of date, and check each candidate when it is popped ("lazy"). That
takes n log n steps instead of a full scan after every merge.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

Pair = tuple[int, int]  # the ids of two adjacent tokens
# A longer word (in bytes) is kept as an array, in which all occurrences of a pair are found at once.
LONG = 4096


@dataclass(frozen=True)
class Merge:
    """One merge of BPE training: two tokens became one."""

    left: bytes
    right: bytes
    count: int  # how often the two were adjacent

    @property
    def token(self) -> bytes:
        """The new token."""
        return self.left + self.right


def learn_merges(words: Mapping[bytes, int], n_merges: int, *, progress: bool = False) -> list[Merge]:
    """Learn up to `n_merges` merges of BPE, and return them in the order learned.

    Each merge adds a token to the 256 bytes. Each round merges the most frequent adjacent pair (ties: the
    smallest ids), until there are enough merges or no pair occurs twice. Two pairs may spell the same token
    (a+bc, ab+c): the second is merged into the existing token and not returned.

    Args:
        words: bytes of each distinct word -> how often it occurs.
        n_merges: the largest number of merges to learn.
        progress: show a progress bar on a terminal.
    """
    tokens = [bytes([byte]) for byte in range(256)]
    id_of = {token: i for i, token in enumerate(tokens)}
    merges: list[Merge] = []
    # each word as ids; merges shorten it
    spellings: list[list[int] | NDArray[np.int64]] = [list(word) for word in words]
    occurrences = list(words.values())
    counts: Counter[Pair] = Counter()
    # pair -> indices of words that contain it, or once did
    where: defaultdict[Pair, set[int]] = defaultdict(set)
    for index, (spelling, n) in enumerate(zip(spellings, occurrences, strict=True)):
        for pair in pairwise(spelling):
            counts[pair] += n
            where[pair].add(index)
        if len(spelling) > LONG:
            spellings[index] = np.array(spelling)
    heap = [(-count, pair) for pair, count in counts.items()]
    heapq.heapify(heap)

    with tqdm(total=n_merges, desc="merges", unit="merge", disable=None if progress else True) as bar:
        while heap and len(merges) < n_merges:
            count, pair = heapq.heappop(heap)
            # Out of date: the pair is now rarer. (A pair that grows more frequent is pushed again at once.)
            if -count != counts[pair]:
                if 0 < counts[pair] < -count:
                    heapq.heappush(heap, (-counts[pair], pair))
                continue
            if -count < 2:
                break
            token = tokens[pair[0]] + tokens[pair[1]]
            if token not in id_of:
                id_of[token] = len(tokens)
                tokens.append(token)
                merges.append(Merge(tokens[pair[0]], tokens[pair[1]], -count))
                bar.update()
            changes: defaultdict[Pair, int] = defaultdict(int)
            for index in where.pop(pair):
                spelling = spellings[index]
                if isinstance(spelling, list):
                    joined = join_pair(spelling, pair, id_of[token], occurrences[index], changes)
                else:
                    spellings[index], joined = join_pair_at_once(
                        spelling, pair, id_of[token], occurrences[index], changes
                    )
                for added in joined:
                    where[added].add(index)
            for changed, change in changes.items():
                counts[changed] += change
                if change > 0:
                    heapq.heappush(heap, (-counts[changed], changed))
            del counts[pair]
    return merges


def join_pair(ids: list[int], pair: Pair, joined: int, n: int, changes: dict[Pair, int]) -> list[Pair]:
    """Replace each `pair` in `ids` by `joined`, in place, from the left.

    For example, (1, 1) -> 2 turns [1, 1, 1] into [2, 1].

    Args:
        ids: the tokens of one word.
        pair: the ids to replace.
        joined: the id of the new token.
        n: how often the word occurs.
        changes: pair -> change of its count; the changes in this word are added. The change of `pair` itself
            is meaningless, since no occurrence of it is left.

    Returns:
        The new pairs.
    """
    left, right = pair
    result: list[int] = []
    added = []
    i, last = 0, len(ids) - 1
    while i <= last:
        if ids[i] != left or i == last or ids[i + 1] != right:
            result.append(ids[i])
            i += 1
            continue
        if result:
            changes[result[-1], left] -= n
            changes[result[-1], joined] += n
            added.append((result[-1], joined))
        if i + 2 <= last:
            changes[right, ids[i + 2]] -= n
            changes[joined, ids[i + 2]] += n
            added.append((joined, ids[i + 2]))
        result.append(joined)
        i += 2
    ids[:] = result
    return added


def join_pair_at_once(
    ids: NDArray[np.int64], pair: Pair, joined: int, n: int, changes: dict[Pair, int]
) -> tuple[NDArray[np.int64], list[Pair]]:
    """Do the same as `join_pair` for an array of ids (N,), which is faster for long words.

    Returns:
        The new array, and the new pairs.
    """
    left, right = pair
    at = np.flatnonzero((ids[:-1] == left) & (ids[1:] == right))
    if left == right:  # in a run of overlapping occurrences, take every other one
        first = np.diff(at, prepend=-2) > 1
        at = at[(at - at[np.maximum.accumulate(np.where(first, np.arange(len(at)), 0))]) % 2 == 0]
    after_another = np.diff(at, prepend=-2) == 2
    after_another[:1] = False
    # The id before each occurrence, unless the word starts with it.
    before = np.where(after_another, joined, ids[at - 1])[at > 0]
    behind = ids[at[at + 2 < len(ids)] + 2]
    added = []
    for neighbours, old, new in (
        (before, lambda other: (other, left), lambda other: (other, joined)),
        (behind, lambda other: (right, other), lambda other: (joined, other)),
    ):
        for other, times in zip(*(found.tolist() for found in np.unique_counts(neighbours)), strict=True):
            changes[old(other)] -= n * times
            changes[new(other)] += n * times
            added.append(new(other))
    kept = np.ones(len(ids), dtype=bool)
    kept[at + 1] = False
    result = ids.copy()
    result[at] = joined
    return result[kept], added


def merge_bytes(word: bytes, ranks: Mapping[bytes, int]) -> list[int]:
    """Return the ids of one word by BPE: merge the adjacent pair of lowest rank until none is left.

    If several pairs have that rank, the leftmost is merged first. A word that is itself a token gets that
    token's id, even if no sequence of merges leads to it, as in tiktoken.
    """
    if word in ranks:
        return [ranks[word]]
    end = list(range(1, len(word) + 1))  # end[i]: where the part that starts at i ends; 0: none starts there
    before = list(range(-1, len(word)))  # before[i]: where the part that ends at i starts
    heap: list[tuple[int, int, int, int]] = []  # (rank, start, middle, end) of two adjacent parts

    def consider(start: int, middle: int, stop: int) -> None:
        if (rank := ranks.get(word[start:stop])) is not None:
            heapq.heappush(heap, (rank, start, middle, stop))

    for i in range(len(word) - 1):
        consider(i, i + 1, i + 2)
    while heap:
        _, start, middle, stop = heapq.heappop(heap)
        if end[start] != middle or end[middle] != stop:  # out of date: one of the two has since been merged
            continue
        end[start], end[middle] = stop, 0
        before[stop] = start
        if start > 0:
            consider(before[start], start, stop)
        if stop < len(word):
            consider(start, stop, end[stop])
    ids = []
    start = 0
    while start < len(word):
        ids.append(ranks[word[start : end[start]]])
        start = end[start]
    return ids
