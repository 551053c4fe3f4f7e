"""The two algorithms of byte-pair encoding: learn which pairs to merge, and merge the pairs of a word.

Both keep a heap of candidates that may be out of date, and check each candidate when it is popped ("lazy"). That
takes n log n steps instead of a full scan after every merge. `textbook_learn` in the tests is the obvious version.
"""

import heapq
from collections.abc import Mapping
from dataclasses import dataclass

from tqdm import tqdm

from groundup.tokenizers.pairs import PairTable


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

    Each merge adds a token to the 256 bytes. The most frequent adjacent pair is merged first (ties: the
    smallest ids), until there are enough merges or no pair occurs twice. Two pairs may spell the same token
    (a+bc, ab+c): the second is merged into the existing token and not returned.

    Pairs are merged in batches, as long as none of a batch can change which pair comes next. Merging a and b
    into the token ab changes only pairs that end with a or begin with b: they become rarer, and pairs with ab
    replace them, each at most as frequent as the pair it replaces. If no pair of the batch ends with a or
    begins with b, they all come after the batch, and so do their replacements: these are not more frequent, and
    ab has a greater id than a and b.

    Args:
        words: bytes of each distinct word -> how often it occurs.
        n_merges: the largest number of merges to learn.
        progress: show a progress bar on a terminal.
    """
    tokens = [bytes([byte]) for byte in range(256)]
    id_of = {token: i for i, token in enumerate(tokens)}
    merges: list[Merge] = []
    table = PairTable([*words], [*words.values()])
    queue = PairQueue(table)
    with tqdm(total=n_merges, desc="merges", unit="merge", disable=None if progress else True) as bar:
        while len(merges) < n_merges:
            batch: dict[int, int] = {}  # row of the table -> token
            lefts, rights = set(), set()
            while len(merges) < n_merges and (best := queue.first()) is not None:
                count, left, right, row = best
                token = tokens[left] + tokens[right]
                # These are merged alone: aa, whose occurrences overlap, and a token that has pairs already.
                alone = left == right or token in id_of
                if batch and (alone or left in rights or right in lefts):
                    break
                queue.pop()
                if token not in id_of:
                    id_of[token] = len(tokens)
                    tokens.append(token)
                    merges.append(Merge(tokens[left], tokens[right], count))
                    bar.update()
                batch[row] = id_of[token]
                lefts.add(left)
                rights.add(right)
                if alone:
                    break
            if not batch:
                break
            table.merge([*batch], [*batch.values()])
    return merges


class PairQueue:
    """The pairs of a table that occur at least twice, the most frequent first (ties: the smallest ids)."""

    def __init__(self, table: PairTable) -> None:
        self._table = table
        self._known = 0  # rows of the table that have been added
        self._heap: list[tuple[int, int, int, int]] = []  # (-count, left, right, row)

    def first(self) -> tuple[int, int, int, int] | None:
        """Return the count of the first pair, its two ids and its row; None if there is no pair."""
        self._add_new()
        while self._heap:
            negative, left, right, row = self._heap[0]
            if (count := int(self._table.counts[row])) == -negative:
                return count, left, right, row
            if count < 2:
                self.pop()
            else:  # out of date: the pair has become rarer
                heapq.heapreplace(self._heap, (-count, left, right, row))
        return None

    def pop(self) -> None:
        """Remove the first pair."""
        heapq.heappop(self._heap)

    def _add_new(self) -> None:
        if self._known == len(self._table):
            return
        new = slice(self._known, len(self._table))
        counts, pairs = self._table.counts[new].tolist(), self._table.pairs[new].tolist()
        for row, (count, (left, right)) in enumerate(zip(counts, pairs, strict=True), self._known):
            if count > 1:
                heapq.heappush(self._heap, (-count, left, right, row))
        self._known = len(self._table)


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
