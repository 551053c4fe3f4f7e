"""Near duplicates by MinHash (Broder 1997) with locality-sensitive hashing: no text is compared with every other.

A text is the set of its runs of a few words. Its signature keeps the smallest value of each of HASHES hash functions
over the set; two signatures agree in about as many places as the sets overlap (Jaccard similarity: size of the
intersection / size of the union). A signature is cut into bands, and only texts that agree in a whole band are
compared.

Shapes: T is the number of texts, G the number of runs of words of all of them.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from groundup.text.runs import Joined, Numbers, load, stars

HASHES = 128  # the estimate of a similarity of 0.8 has a standard deviation of 0.035
FOUND = 0.99  # share of the pairs at the wanted similarity that the bands must propose
COMPARED = 2**16  # pairs of signatures in memory at the same time
Signatures = npt.NDArray[np.uint32]


@cache
def _functions() -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Return the odd factors and the summands of the hash functions x -> factor * x + summand, (HASHES,) each."""
    numbers = np.random.default_rng(20_260_101).integers(0, 2**64, (2, HASHES), np.uint64)
    return numbers[0] | np.uint64(1), numbers[1]


def signatures(hashes: npt.NDArray[np.uint64], owners: Numbers, n_texts: int) -> tuple[Signatures, Numbers]:
    """Return the signatures of the texts that have a run of words, and their numbers.

    Args:
        hashes: of the runs of words, as `overlap.window_hashes` gives them, (G,).
        owners: the text of each run, ascending, (G,).
        n_texts: T.
    """
    numbers = np.flatnonzero(np.bincount(owners, minlength=n_texts))
    found = np.empty((len(numbers), HASHES), np.uint32)
    if len(numbers):
        starts = np.searchsorted(owners, numbers)
        for place, (factor, summand) in enumerate(zip(*_functions(), strict=True)):
            values = ((hashes * factor + summand) >> np.uint64(32)).astype(np.uint32)
            found[:, place] = np.minimum.reduceat(values, starts)
    return found, numbers


def rows_per_band(similarity: float) -> int:
    """Return the number of rows of a band: the largest that proposes FOUND of the pairs with this similarity."""
    fitting = [r for r in range(1, HASHES + 1) if 1 - (1 - similarity**r) ** (HASHES // r) >= FOUND]
    return max(fitting, default=1)


def bands(found: Signatures, similarity: float) -> npt.NDArray[np.uint64]:
    """Return a hash of each band of each signature, (T, bands); equal hashes mean equal bands at the same place."""
    factors, summands = _functions()
    rows = rows_per_band(similarity)
    n_bands = HASHES // rows
    parts = found[:, : n_bands * rows].astype(np.uint64).reshape(-1, n_bands, rows)
    hashes = np.broadcast_to(summands[:n_bands], parts.shape[:2]).copy()
    for row in range(rows):
        hashes = (hashes ^ parts[:, :, row]) * factors[row]
        hashes ^= hashes >> np.uint64(32)
    return hashes


def near_links(files: Mapping[int, Path], similarity: float, joined: Joined) -> Numbers:
    """Return links (any number, 2) from the first of similar documents to the others, for a range of band hashes.

    Of the documents that share a band, each is compared with the first and with the one before it.

    Args:
        files: part -> file with a signature for each of its documents.
        similarity: the least share of equal places in two signatures.
        joined: the runs of (band hash, document), and the range.
    """
    hashes, documents = load(joined)
    index = np.arange(len(hashes))
    begins = np.append(True, hashes[1:] != hashes[:-1])[: len(hashes)]
    first = np.maximum.accumulate(np.where(begins, index, 0))
    others = index[~begins]
    pairs = np.concatenate(
        [
            np.stack([documents[first[others]], documents[others]], axis=1),
            np.stack([documents[others - 1], documents[others]], axis=1),
        ]
    )
    pairs = np.unique(pairs, axis=0)
    parts = sorted(files)
    offsets = np.array([joined.offsets[part] for part in parts])

    def read(numbers: Numbers) -> Signatures:
        found = np.empty((len(numbers), HASHES), np.uint32)
        of_part = np.searchsorted(offsets, numbers, side="right") - 1
        for part in np.unique(of_part).tolist():
            here = of_part == part
            # opened each time, because a process may open only so many files at once
            found[here] = np.load(files[parts[part]], mmap_mode="r")[numbers[here] - offsets[part]]
        return found

    near = [np.empty(0, dtype=bool)]
    for start in range(0, len(pairs), COMPARED):
        left, right = pairs[start : start + COMPARED].T
        near.append((read(left) == read(right)).mean(axis=1) >= similarity)
    return stars(pairs[np.concatenate(near)])
