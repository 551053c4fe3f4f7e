"""Find what many documents share, in a corpus of any size: sort pairs (64-bit hash, document) on the disk.

A run is a sorted list of such pairs from one part of the corpus, in two files. To join all runs, the hashes are cut
into ranges, and for each range the slices of all runs are read and sorted together.

Shapes: P is the number of pairs of a run or a range, D the number of documents of the corpus.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from groundup.text.shards import writing

PAIR_BYTES = 64  # memory per pair that is joined, with temporary arrays
Hashes = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SortedRun:
    """A run on the disk. `part` is the part whose documents it numbers from 0."""

    path: Path
    part: int
    pairs: int


@dataclass(frozen=True)
class Joined:
    """All runs, one range of hashes, and the documents that count; this is sent to workers."""

    runs: tuple[SortedRun, ...]
    offsets: Mapping[int, int]  # part -> the number of its first document
    alive: Path  # a file with a bool for each document (D,)
    low: int
    high: int


def save(path: Path, array: npt.NDArray[Any]) -> None:
    """Write an array, whole or not at all."""
    with writing(path) as file:
        np.save(file, array)


def write_run(path: Path, part: int, hashes: Hashes, documents: npt.NDArray[Any]) -> SortedRun:
    """Sort pairs and write them as a run.

    Args:
        path: where; two suffixes are added.
        part: the number of the part of the corpus.
        hashes: (P,).
        documents: the number of each document within the part, (P,).
    """
    order = np.argsort(hashes, kind="stable")
    save(path.with_suffix(".hashes.npy"), hashes[order])
    save(path.with_suffix(".documents.npy"), documents[order].astype(np.uint32))
    return SortedRun(path, part, len(hashes))


class RunWriter:
    """Pairs (hash, document) of a part, written as runs that fit into memory."""

    def __init__(self, path: Path, part: int, memory: int, written: list[SortedRun]) -> None:
        """Begin a list of runs.

        Args:
            path: where; the number of the run is added.
            part: the number of the part of the corpus.
            memory: bytes that sorting may take.
            written: the list to which the runs are added.
        """
        self._path, self._part, self._limit, self._runs = path, part, memory // PAIR_BYTES, written
        self._hashes: list[Hashes] = []
        self._documents: list[npt.NDArray[Any]] = []

    def add(self, hashes: Hashes, documents: npt.NDArray[Any]) -> None:
        """Add pairs."""
        self._hashes.append(hashes)
        self._documents.append(documents)
        if sum(map(len, self._hashes)) >= self._limit:
            self.close()

    def close(self) -> None:
        """Write the pairs that are in memory."""
        if any(map(len, self._hashes)):
            path = Path(f"{self._path}-{len(self._runs):04d}")
            hashes, documents = np.concatenate(self._hashes), np.concatenate(self._documents)
            self._runs.append(write_run(path, self._part, hashes, documents))
        self._hashes, self._documents = [], []


def ranges(runs: Sequence[SortedRun], offsets: Mapping[int, int], alive: Path, memory: int) -> list[Joined]:
    """Cut the hashes into ranges, each of which is joined in about `memory` bytes."""
    n = max(1, -(-sum(run.pairs for run in runs) * PAIR_BYTES // memory))
    edges = [2**64 * i // n for i in range(n + 1)]
    return [Joined(tuple(runs), offsets, alive, low, high) for low, high in pairwise(edges)]


def load(joined: Joined) -> tuple[Hashes, Numbers]:
    """Return the pairs of a range, (P,) and (P,), sorted by hash and then by document, without the dead documents."""
    alive = np.load(joined.alive, mmap_mode="r")
    hashes, documents = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
    for run in joined.runs:
        of_run = np.load(run.path.with_suffix(".hashes.npy"), mmap_mode="r")
        start = np.searchsorted(of_run, np.uint64(joined.low))
        stop = len(of_run) if joined.high == 2**64 else np.searchsorted(of_run, np.uint64(joined.high))
        found = np.load(run.path.with_suffix(".documents.npy"), mmap_mode="r")[start:stop]
        numbers = found + np.int64(joined.offsets[run.part])
        keep = alive[numbers]
        hashes.append(of_run[start:stop][keep])
        documents.append(numbers[keep])
    together, owners = np.concatenate(hashes), np.concatenate(documents)
    order = np.argsort(together, kind="stable")  # the runs are in the order of their documents
    return together[order], owners[order]


def links(joined: Joined) -> Numbers:
    """Return links (L, 2) that connect the documents which share a hash of the range; L < D."""
    hashes, documents = load(joined)
    same = hashes[1:] == hashes[:-1]
    return stars(np.stack([documents[:-1][same], documents[1:][same]], axis=1))


def stars(pairs: Numbers) -> Numbers:
    """Return links (L, 2) from the first document of each connected group to the others; L < D.

    Args:
        pairs: documents that belong together, (any number, 2).
    """
    from scipy.sparse import coo_array  # importing it late saves every stage 0.2 s at its start
    from scipy.sparse.csgraph import connected_components

    nodes, index = np.unique(pairs, return_inverse=True)
    left, right = index.reshape(-1, 2).T
    graph = coo_array((np.ones(len(left), np.int8), (left, right)), shape=(len(nodes), len(nodes)))
    _, group = connected_components(graph, directed=False)
    first = np.full(len(nodes), len(nodes))
    np.minimum.at(first, group, np.arange(len(nodes)))  # the nodes are in ascending order
    roots = nodes[first[group]]
    others = roots != nodes
    return np.stack([roots[others], nodes[others]], axis=1).astype(np.int64)


def merge(groups: Numbers, pairs: Numbers) -> Numbers:
    """Return the groups of documents, joined where a pair connects two.

    Args:
        groups: the first document of the group of each document, (D,).
        pairs: documents that belong together, (any number, 2).
    """
    renamed = np.arange(len(groups))
    found = stars(groups[pairs])
    renamed[found[:, 1]] = found[:, 0]
    return renamed[groups]


def repeats(*columns: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return whether an earlier row has the same values in all columns, (rows,)."""
    order = np.lexsort(columns)
    same = np.ones(max(0, len(order) - 1), dtype=bool)
    for column in columns:
        same &= column[order[1:]] == column[order[:-1]]
    repeated = np.zeros(len(order), dtype=bool)
    repeated[order[1:]] = same
    return repeated
