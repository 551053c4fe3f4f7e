"""Search training texts of any size for evaluation items of any number, with an index of the items on the disk.

What counts as an occurrence is what `overlap.TextIndex` finds, which indexes the training texts instead, in memory. The
index of the items is a sorted file of hashes for each kind of occurrence; it is made, and the training texts are
searched, in batches, wherever the section `cluster` says. Hashes have 64 bits: among a billion training texts, one of a
million items is found by accident in one search of ten thousand.

Shapes: E is the number of items, P the number of pairs of a hash and an item.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from groundup.parallel.cluster import DaskConfig, ProcessesConfig, map_parts
from groundup.parallel.local import in_parts
from groundup.text.documents import text_of
from groundup.text.near_duplicates import one_number
from groundup.text.overlap import (
    KINDS,
    Hit,
    N,
    Text,
    TextIndex,
    WordNumbers,
    digests,
    joined,
    normalise,
    window_hashes,
    without_digits,
)
from groundup.text.runs import Hashes, Numbers, RunWriter, SortedRun, load, ranges, save
from groundup.text.shards import Part, parts_of, read_part

# A part of a corpus, or some texts; a document, of the corpus or as a list of messages, is one item as a whole.
Batch = Part | Sequence[Text]
TEMPLATE = "template"  # the kind of two whole texts that differ only in numbers (see near_duplicates)
NOWHERE = len(KINDS) + 1
PART_BYTES = 4 * 10**6
BATCH_CHARS = 2**20  # texts that are hashed together
FORGET = 2**20  # words whose hashes are remembered
FOUND = np.dtype([("item", "<i8"), ("kind", "u1"), ("text", "<i8")])


def batches_of(corpus: Path) -> list[Batch]:
    """Return a corpus, a file or a folder of shards, in batches that workers with another working folder can read."""
    return [*parts_of(corpus.absolute(), PART_BYTES)]


def batches_in(texts: Iterable[str]) -> list[Batch]:
    """Return texts in batches."""
    return [*in_parts(texts)]


@dataclass(frozen=True)
class Index:
    """An index of items on the disk; this is sent to workers.

    Two numbers count as equal unless `keep_digits` is set (see `overlap.normalise`). With `templates`, whole texts that
    differ only in numbers are found too.
    """

    folder: Path
    keep_digits: bool
    templates: bool
    memory: int  # bytes that sorting may take

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of occurrence that are found, the strictest first."""
        return (*KINDS, TEMPLATE) if self.templates else KINDS

    def hashes(
        self, batch: Batch, *, messages: bool
    ) -> Iterator[tuple[int, dict[str, tuple[Hashes, Numbers]]]]:
        """Yield the hashes of a batch: the number of texts so far, and kind -> hashes and the texts that have them.

        Args:
            batch: the texts.
            messages: whether each message of a document counts as a text too.
        """
        vocabulary, done = WordNumbers(), 0
        for some in _in_lists(_read(batch)):
            lines = [[normalise(message, keep_digits=True) for message in of_one] for of_one in some]
            wholes = [joined(of_one) for of_one in lines]
            if not self.keep_digits:
                lines = [[*map(without_digits, of_one)] for of_one in lines]
                wholes = [*map(without_digits, wholes)]
            several = [(i, j) for i, of_one in enumerate(some) for j in range(len(of_one)) if len(of_one) > 1]
            several = several if messages else []
            numbers = np.array([*range(done, done + len(some)), *(done + i for i, _ in several)], np.int64)
            exact = [*map(text_of, some), *(some[i][j] for i, j in several)]
            normalised = [*wholes, *(lines[i][j] for i, j in several)]
            blank = np.array([not text for text in normalised], dtype=bool)
            windows, owners = window_hashes(wholes, N, vocabulary)
            found = dict(zip(KINDS, ((digests(exact)[:, 0], numbers),
                                     (digests(normalised)[~blank, 0], numbers[~blank]),
                                     (windows, owners + done)), strict=True))  # fmt: skip
            if self.templates:
                found[TEMPLATE] = digests(map(one_number, wholes))[:, 0], numbers[: len(some)]
            done += len(some)
            yield done, found
            if len(vocabulary) > FORGET:
                vocabulary.clear()

    def table(self, kind: str) -> tuple[Hashes, Numbers]:
        """Return the sorted hashes of a kind and their items, (P,) each, memory-mapped."""
        files = [
            (self.folder / f"{kind}.{name}", dtype) for name, dtype in (("hashes", "<u8"), ("items", "<i8"))
        ]
        hashes, items = (
            np.memmap(path, dtype, "r") if path.stat().st_size else np.empty(0, dtype)
            for path, dtype in files
        )
        return hashes, items


@dataclass(frozen=True)
class Indexer:
    """The function that writes the hashes of a batch of items as runs: it is sent to workers."""

    index: Index

    def __call__(self, task: tuple[int, Batch]) -> tuple[int, dict[str, list[SortedRun]]]:
        """Return the number of items of a batch, and kind -> its runs."""
        number, batch = task
        written: dict[str, list[SortedRun]] = {kind: [] for kind in self.index.kinds}
        writers = {
            kind: RunWriter(self.index.folder / f"{kind}-{number:06d}", number, self.index.memory, runs)
            for kind, runs in written.items()
        }
        count = 0
        for done, found in self.index.hashes(batch, messages=False):
            count = done
            for kind, pairs in found.items():
                writers[kind].add(*pairs)
        for writer in writers.values():
            writer.close()
        return count, written


@dataclass(frozen=True)
class Searcher:
    """The function that searches a batch of training texts for the items: it is sent to workers."""

    index: Index

    def __call__(self, batch: Batch) -> npt.NDArray[Any]:
        """Return the first text (its number in the batch) of each item and kind, as rows of FOUND, in this order."""
        tables = [self.index.table(kind) for kind in self.index.kinds]
        parts = [np.empty(0, FOUND)]
        for _, found in self.index.hashes(batch, messages=True):
            for kind, (hashes, items) in enumerate(tables):
                all_hashes, texts = found[self.index.kinds[kind]]
                wanted, place = np.unique(all_hashes, return_index=True)
                first, last = (np.searchsorted(hashes, wanted, side) for side in ("left", "right"))
                counts = last - first
                rows = np.empty(int(counts.sum()), FOUND)
                starts = np.repeat(first - np.cumsum(counts) + counts, counts)
                rows["item"] = items[starts + np.arange(len(rows))]
                rows["kind"], rows["text"] = kind, np.repeat(texts[place], counts)
                parts.append(_first(rows))
        return _first(np.concatenate(parts))


@dataclass(frozen=True)
class Items:
    """Items that can be searched for, in their order over all batches."""

    index: Index
    batches: Sequence[Batch]
    offsets: Numbers  # the number of the first item of each batch, and of all items, (batches + 1,)

    def __len__(self) -> int:
        """Return E."""
        return int(self.offsets[-1])

    def text(self, item: int) -> str:
        """Return the text of an item."""
        batch = int(np.searchsorted(self.offsets, item, side="right")) - 1
        return text_of(_nth(self.batches[batch], item - int(self.offsets[batch])))

    def search(self, training: Sequence[Batch], cluster: ProcessesConfig | DaskConfig) -> "Occurrences":
        """Search training texts for all items."""
        kinds = np.full(len(self), NOWHERE, np.uint8)
        flags = np.zeros(len(self), np.uint8)
        places = np.zeros((len(self), 2), np.int64)
        for number, found in enumerate(map_parts(Searcher(self.index), training, cluster)):
            np.bitwise_or.at(flags, found["item"], (1 << found["kind"]).astype(np.uint8))
            strictest = found[np.unique(found["item"], return_index=True)[1]]
            better = strictest[strictest["kind"] < kinds[strictest["item"]]]
            kinds[better["item"]] = better["kind"]
            places[better["item"]] = np.stack([np.full(len(better), number), better["text"]], axis=1)
        return Occurrences(self, training, kinds, flags, places)


@dataclass(frozen=True)
class Occurrences:
    """Where items occur in training texts."""

    items: Items
    training: Sequence[Batch]
    kinds: npt.NDArray[np.uint8]
    """The strictest kind of each item, an index of `Index.kinds`; NOWHERE if it was not found, (E,)."""
    flags: npt.NDArray[np.uint8]
    """All kinds of each item: 1 << kind, summed, (E,)."""
    places: Numbers
    """The batch and the number of a text with the strictest kind, (E, 2)."""

    def example(self, item: int) -> Hit | None:
        """Read an occurrence of an item. None: only its hash is equal."""
        batch, text = self.places[item].tolist()
        messages = _nth(self.training[batch], text)
        return TextIndex([messages], keep_digits=self.items.index.keep_digits).find(self.items.text(item))


def index_items(
    batches: Sequence[Batch],
    folder: Path,
    cluster: ProcessesConfig | DaskConfig,
    *,
    keep_digits: bool = False,
    templates: bool = False,
) -> Items:
    """Write an index of items into a folder, which the workers of a cluster must see under the same path.

    Args:
        batches: the items; of a part of a corpus, each whole document is one.
        folder: an existing folder; it is the caller's to remove.
        cluster: where the batches are read, and how much memory sorting takes.
        keep_digits, templates: see `Index`.

    Raises:
        BadInput: as `read_part` and `map_parts` do.
    """
    folder = folder.absolute()
    index = Index(folder, keep_digits, templates, cluster.memory_megabytes * 10**6)
    written = [*map_parts(Indexer(index), enumerate(batches), cluster)]
    offsets = np.cumsum([0, *(count for count, _ in written)])
    first = dict(enumerate(offsets.tolist()))
    save(folder / "alive.npy", np.ones(offsets[-1], dtype=bool))
    for kind in index.kinds:
        runs = [run for _, of_batch in written for run in of_batch[kind]]
        with open(folder / f"{kind}.hashes", "wb") as hashes, open(folder / f"{kind}.items", "wb") as items:
            for joined_runs in ranges(runs, first, folder / "alive.npy", index.memory):
                for file, array in zip((hashes, items), load(joined_runs), strict=True):
                    file.write(array.tobytes())
        for run in runs:
            for suffix in (".hashes.npy", ".documents.npy"):
                run.path.with_suffix(suffix).unlink()
    return Items(index, batches, offsets)


def kinds_of(
    texts: Sequence[str], training: Sequence[Batch], folder: Path, cluster: ProcessesConfig | DaskConfig
) -> dict[str, str]:
    """Return those of the texts that occur in training texts, with the strictest kind (see `index_items`)."""
    items = index_items(batches_in(texts), folder, cluster)
    kinds = items.search(training, cluster).kinds
    return {texts[i]: items.index.kinds[kinds[i]] for i in np.flatnonzero(kinds != NOWHERE).tolist()}


def _read(batch: Batch) -> Iterator[Sequence[str]]:
    """Yield the messages of each text of a batch."""
    if isinstance(batch, Part):
        return (row["messages"] for row in read_part(batch))
    return ([text] if isinstance(text, str) else text for text in batch)


def _nth(batch: Batch, number: int) -> Sequence[str]:
    return next(islice(_read(batch), number, None))


def _in_lists(texts: Iterable[Sequence[str]]) -> Iterator[list[Sequence[str]]]:
    """Yield texts in lists of about BATCH_CHARS characters."""
    some: list[Sequence[str]] = []
    size = 0
    for messages in texts:
        some.append(messages)
        size += sum(map(len, messages))
        if size >= BATCH_CHARS:
            yield some
            some, size = [], 0
    if some:
        yield some


def _first(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the first row of each item and kind, sorted by item and kind."""
    order = np.lexsort((rows["text"], rows["kind"], rows["item"]))
    rows = rows[order]
    again = (rows["item"][1:] == rows["item"][:-1]) & (rows["kind"][1:] == rows["kind"][:-1])
    return rows[np.append(True, ~again)[: len(rows)]]
