"""The two algorithms of byte-pair encoding: learn which bytes to join, and join them.

Both keep a heap of candidates that may be out of date and check each when it comes up ("lazy"): n log n
instead of looking at everything after every merge.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

Pair = tuple[int, int]  # the ids of two neighbours
LONG = 4096  # bytes of a word that is kept as an array: its joins are found at once, not one by one


@dataclass(frozen=True)
class Merge:
    """One round of training: two tokens became one."""

    left: bytes
    right: bytes
    count: int  # how often they stood side by side

    @property
    def token(self) -> bytes:
        """The new token."""
        return self.left + self.right


def learn_merges(words: Mapping[bytes, int], n_merges: int, *, progress: bool = False) -> list[Merge]:
    """Return up to `n_merges` merges that each add a token to the 256 bytes, in the order learned.

    Each round joins the pair of neighbours that occurs most often (of equals, the one with the smallest ids),
    until there are enough or none occurs twice. Two pairs may spell the same token (a+bc, ab+c): the second
    is joined into the token that exists, and is not returned.

    words: each distinct word's bytes -> how often it occurs.
    """
    tokens = [bytes([byte]) for byte in range(256)]
    id_of = {token: i for i, token in enumerate(tokens)}
    merges: list[Merge] = []
    # each word as ids, shorter with every merge
    spellings: list[list[int] | NDArray[np.int64]] = [list(word) for word in words]
    occurrences = list(words.values())
    counts: Counter[Pair] = Counter()
    where: defaultdict[Pair, set[int]] = defaultdict(
        set
    )  # pair -> indices of words that hold it, or once did
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
            if (
                -count != counts[pair]
            ):  # out of date: now rarer (more frequent ones were pushed again at once)
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
    """Replace each `pair` in `ids` by `joined`, in place, from the left: (1, 1) -> 2 makes [1, 1, 1] [2, 1].

    Adds to `changes` by how much the neighbours' counts change in a word that occurs `n` times (what it says
    about `pair` itself is of no use: all of it is gone), and returns the new pairs.
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
    """The same as `join_pair` of an array (N,), which is returned too: quick for long words."""
    left, right = pair
    at = np.flatnonzero((ids[:-1] == left) & (ids[1:] == right))
    if left == right:  # of a run of neighbours that overlap, every other one
        first = np.diff(at, prepend=-2) > 1
        at = at[(at - at[np.maximum.accumulate(np.where(first, np.arange(len(at)), 0))]) % 2 == 0]
    after_another = np.diff(at, prepend=-2) == 2
    after_another[:1] = False
    before = np.where(after_another, joined, ids[at - 1])[
        at > 0
    ]  # of each join that is not the first of the word
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
    """Return the ids of one word: join the neighbours of lowest rank (the leftmost first) until none joins.

    A word that is a token is that token, even where no row of joins leads to it: tiktoken's rule.
    """
    if word in ranks:
        return [ranks[word]]
    end = list(range(1, len(word) + 1))  # end[i]: where the part that starts at i ends; 0: none starts there
    before = list(range(-1, len(word)))  # before[i]: where the part that ends at i starts
    heap: list[tuple[int, int, int, int]] = []  # (rank, start, middle, end) of two neighbours

    def consider(start: int, middle: int, stop: int) -> None:
        if (rank := ranks.get(word[start:stop])) is not None:
            heapq.heappush(heap, (rank, start, middle, stop))

    for i in range(len(word) - 1):
        consider(i, i + 1, i + 2)
    while heap:
        _, start, middle, stop = heapq.heappop(heap)
        if end[start] != middle or end[middle] != stop:  # one of the two was joined with another meanwhile
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
