"""The reductions: which documents of a corpus are dropped, and to which split each of the others goes.

Shapes: D is the number of documents that the filters leave.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from groundup.corpora.survey import Survey
from groundup.datasets.corpus import DOMINANT, NUMERIC, CorpusConfig
from groundup.errors import BadInput
from groundup.parallel.cluster import DaskConfig, ProcessesConfig, map_parts
from groundup.text.counts import counted
from groundup.text.minhash import near_links
from groundup.text.runs import Joined, Numbers, SortedRun, links, load, merge, ranges, repeats, save

Mask = npt.NDArray[np.bool_]
Notes = npt.NDArray[Any]  # of dtype NOTE
SIDES = ("dropped", "train", "val", "gate", "cut")  # what can happen to a document; "cut": into all splits
DROPPED, TRAIN, VAL, GATE, CUT = range(len(SIDES))


@dataclass(frozen=True)
class Reducer:
    """Where reductions over hashes run, and where their files are."""

    scratch: Path
    cluster: ProcessesConfig | DaskConfig
    offsets: Mapping[int, int]  # part -> the number of its first document

    def ranges(self, runs: Sequence[SortedRun], alive: Mask) -> list[Joined]:
        """Return the ranges of hashes of runs, for the documents that are alive."""
        path = self.scratch / "alive.npy"
        save(path, alive)
        return ranges(runs, self.offsets, path, self.cluster.memory_megabytes * 10**6)

    def group(self, groups: Numbers, runs: Sequence[SortedRun], alive: Mask) -> Numbers:
        """Return the groups, joined where two documents share a hash of the runs."""
        for found in map_parts(links, self.ranges(runs, alive), self.cluster):
            groups = merge(groups, found)
        return groups

    def near(self, surveys: Sequence[Survey], alive: Mask, similarity: float) -> Mask:
        """Return which living documents (D,) are near duplicates of an earlier one."""
        files = {survey.part.number: survey.signatures for survey in surveys}
        compare = partial(near_links, files, similarity)
        groups = np.arange(len(alive))
        for found in map_parts(
            compare, self.ranges([r for s in surveys for r in s.bands], alive), self.cluster
        ):
            groups = merge(groups, found)
        return groups != np.arange(len(alive))

    def among(self, hashes: npt.NDArray[np.uint64], runs: Sequence[SortedRun], alive: Mask) -> Mask:
        """Return which hashes (D,) are in the runs of living documents."""
        path = self.scratch / "hashes.npy"
        save(path, np.unique(hashes[alive]))
        found = map_parts(partial(_present, path), self.ranges(runs, alive), self.cluster)
        return np.isin(hashes, np.concatenate([*found, np.empty(0, np.uint64)]))


def _present(path: Path, joined: Joined) -> npt.NDArray[np.uint64]:
    """Return the hashes of the file that occur in a range."""
    return np.intersect1d(np.load(path, mmap_mode="r"), load(joined)[0])


def drop_duplicates(notes: Notes) -> tuple[Mask, Counter[str]]:
    """Keep the first of all documents whose keys are equal (see `duplicates.key_of`).

    Returns:
        The documents that stay alive (D,), and reason -> number of documents dropped.
    """
    again = repeats(notes["key2"], notes["key"])
    exact = repeats(notes["text"], notes["key2"], notes["key"])
    counts = {"exact duplicates": int(exact.sum()), "normalised duplicates": int((again & ~exact).sum())}
    return ~again, Counter(counts)


def sample(notes: Notes, alive: Mask, limit: int | None) -> Mask:
    """Sample `limit` living documents by hash; a larger sample contains a smaller one. None means all."""
    numbers = np.flatnonzero(alive)
    if limit is None or len(numbers) <= limit:
        return alive
    chosen = np.zeros_like(alive)
    chosen[numbers[np.argsort(notes["sample"][numbers], kind="stable")[:limit]]] = True
    return chosen


def are_numeric(notes: Notes, alive: Mask) -> tuple[Mask, bool]:
    """Return which documents (D,) differ from another only in numbers, and whether most of them do."""
    _, index, counts = np.unique(notes["words"][alive], return_inverse=True, return_counts=True)
    twins = np.zeros(len(notes), dtype=bool)
    twins[alive] = counts[index] > 1
    return twins, bool(twins.sum() > NUMERIC * alive.sum())


def split(
    notes: Notes, alive: Mask, surveys: Sequence[Survey], reducer: Reducer, config: CorpusConfig
) -> tuple[npt.NDArray[np.uint8], dict[str, Any]]:
    """Decide to which split each document goes.

    The hash of a document's normalised text decides whether it goes to val or to gate, so that adding or removing
    unrelated documents does not move it, and another `gate_fraction` does not change val. A document that shares text
    with train goes to train instead, for one of three reasons: it equals a message of another document; it differs
    from a document of train only in numbers; or it shares 13 consecutive words with a document of train, directly or
    through other documents. If most documents differ from another only in numbers (a corpus of sums), numbers are
    compared like words. The parts of a document that is cut may share phrases. Gate is empty if the corpus is so small
    that train would be.

    Args:
        notes: (D,).
        alive: the documents to split, (D,).
        surveys: the runs of windows and messages, with digits if `are_numeric` says so.
        reducer: joins the runs.
        config: the fractions.

    Returns:
        One of the SIDES for each document (D,), and facts: "moved_to_train" (number of documents with the hash of val
        or gate that went to train), "cut_inside" (whether a document was cut), and "digits_count" (whether numbers
        were compared like words; the contamination check needs it).

    Raises:
        BadInput: there are fewer than two documents that share no text, and none is large enough to be cut.
    """
    held_out = config.val_fraction + config.gate_fraction
    twins, digits_count = are_numeric(notes, alive)
    # documents that differ only in numbers are hashed with their numbers
    coin = np.where(twins, notes["key_coin"], notes["coin"])
    texts = notes["key"] if digits_count else notes["words"]
    dominant = alive & (notes["size"] > max(1, DOMINANT * int(notes["size"][alive].sum())))
    groups = merge(np.arange(len(notes)), _equal(texts, alive))
    groups = reducer.group(groups, [run for survey in surveys for run in survey.windows], alive)
    quoted = reducer.among(texts, [run for survey in surveys for run in survey.messages], alive)
    # from here on per group, at the number of its first document
    bound = _any(groups, alive & (quoted | dominant))  # never in val
    stays = bound | _any(groups, alive & (coin >= config.val_fraction))
    present = _any(groups, alive)
    if not dominant.any() and ((stays == present).all() or not stays.any()):
        # With few documents, all may fall on one side: the one nearest to the other side then goes there.
        free = np.flatnonzero(alive & ~bound[groups])
        if present.sum() < 2 or not len(free):
            raise BadInput(
                f"the corpus has {counted(int(alive.sum()), 'document')}, but not two that share no text; "
                f"expected at least two: add text, or lower corpus.min_chars and corpus.min_messages."
            )
        stays = present.copy()
        stays[groups[free[np.argmin(coin[free])]]] = False
    learned = bound | _any(groups, alive & (coin >= held_out))
    gate = stays & ~learned if (stays & learned).any() else np.zeros_like(stays)
    sides = np.select([~alive, dominant, ~stays[groups], gate[groups]], [DROPPED, CUT, VAL, GATE], TRAIN)
    moved = int(((sides == TRAIN) & (coin < held_out)).sum())
    facts = {"moved_to_train": moved, "cut_inside": bool(dominant.any()), "digits_count": digits_count}
    return sides.astype(np.uint8), facts


def _equal(texts: npt.NDArray[np.uint64], alive: Mask) -> Numbers:
    """Return links (any number, 2) between living documents whose texts are equal."""
    numbers = np.flatnonzero(alive)
    order = numbers[np.argsort(texts[numbers], kind="stable")]
    same = texts[order[1:]] == texts[order[:-1]]
    return np.stack([order[:-1][same], order[1:][same]], axis=1)


def _any(groups: Numbers, documents: Mask) -> Mask:
    """Return for each group, at its number, whether any of its documents is among these."""
    found = np.zeros(len(groups), dtype=bool)
    found[groups[documents]] = True
    return found
