"""The first map: clean the documents of a part, and note of each what the decisions about the corpus need."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from groundup.datasets.corpus import CorpusConfig, clean, size_of, unit_hash
from groundup.errors import BadInput
from groundup.text import minhash
from groundup.text.documents import Document, problem_of_text, text_of
from groundup.text.overlap import N, WordNumbers, digests, joined, normalise, window_hashes, without_digits
from groundup.text.runs import RunWriter, SortedRun, save
from groundup.text.shards import Part, read_part

# What is noted of a document. Hashes have 64 bits; the key has 128, because equal keys drop a document. Others only
# keep documents together, where an accidental equality does no harm.
NOTE = np.dtype(
    [
        ("key", "<u8"),
        ("key2", "<u8"),
        ("text", "<u8"),  # of the text as it is
        ("words", "<u8"),  # of the normalised text, which ignores numbers
        ("size", "<i8"),
        ("coin", "<f8"),  # decides the split
        ("key_coin", "<f8"),  # decides it where documents differ only in numbers
        ("sample", "<f8"),
    ]
)
BATCH_CHARS = 2**20  # texts whose words are hashed together
FORGET = 2**20  # words whose hashes are remembered


@dataclass
class Survey:
    """What is known of a part."""

    part: Part
    read: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    notes: npt.NDArray[Any] = field(
        default_factory=lambda: np.empty(0, NOTE)
    )  # of the documents kept, in order
    windows: list[SortedRun] = field(default_factory=list)  # of 13 words
    messages: list[SortedRun] = field(default_factory=list)  # of documents with several
    bands: list[SortedRun] = field(default_factory=list)  # of signatures, if near duplicates are dropped
    signatures: Path = Path()  # a row for each document
    columns: tuple[str, ...] = ()
    damage: str = ""  # why the shard cannot be used


@dataclass(frozen=True)
class Surveyor:
    """The function that surveys a part: it is sent to workers."""

    config: CorpusConfig
    scratch: Path
    memory: int  # bytes
    keep_digits: bool = False

    def __call__(self, part: Part) -> Survey:
        """Return what is known of a part, and write its runs."""
        found = Survey(part)
        try:
            self._read(part, found)
        except BadInput as error:
            return Survey(part, damage=str(error))
        return found

    def writer(self, part: Part, name: str, written: list[SortedRun]) -> RunWriter:
        """Return what writes runs of a part, and adds them to `written`."""
        return RunWriter(self.scratch / f"{name}-{part.name}", part.number, self.memory, written)

    def _read(self, part: Part, found: Survey) -> None:
        windows = self.writer(part, f"windows{self.keep_digits:d}", found.windows)
        messages = self.writer(part, f"messages{self.keep_digits:d}", found.messages)
        near = Signer(self, part, found) if self.config.near_duplicates and not self.keep_digits else None
        notes, n_documents, vocabulary = [np.empty(0, NOTE)], 0, WordNumbers()
        for batch in self._batches(part, found):
            lines = [[normalise(m, keep_digits=True) for m in document["messages"]] for document in batch]
            keys = [joined(of_one) for of_one in lines]
            words = [without_digits(key) for key in keys]
            notes.append(self._notes(batch, keys, words))
            hashes, owners = window_hashes(keys if self.keep_digits else words, N, vocabulary)
            windows.add(hashes, owners + n_documents)
            several = [(i, line) for i, of_one in enumerate(lines) if len(of_one) > 1 for line in of_one]
            texts = [line if self.keep_digits else without_digits(line) for _, line in several]
            messages.add(digests(texts)[:, 0], np.array([i for i, _ in several], np.int64) + n_documents)
            if near:
                near.add(keys, n_documents, vocabulary)
            n_documents += len(batch)
            if len(vocabulary) > FORGET:
                vocabulary.clear()
        windows.close()
        messages.close()
        if near:
            near.close()
        found.notes = np.concatenate(notes)

    def _batches(self, part: Part, found: Survey) -> Iterator[list[Document]]:
        """Yield the clean documents of a part in lists of about a million characters."""
        batch: list[Document] = []
        size = 0
        for row in read_part(part, problem_of):
            found.columns = found.columns or tuple(sorted(row))
            found.read += 1
            if document := clean(row, self.config, found.dropped):
                batch.append(document)
                size += size_of(document)
            if size >= BATCH_CHARS:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def _notes(
        self, batch: Sequence[Document], keys: Sequence[str], words: Sequence[str]
    ) -> npt.NDArray[Any]:
        texts = [text_of(document["messages"]) for document in batch]
        seed = self.config.seed
        notes = np.empty(len(batch), NOTE)
        notes["key"], notes["key2"] = digests(keys).T
        notes["text"], notes["words"] = digests(texts)[:, 0], digests(words)[:, 0]
        notes["size"] = [size_of(document) for document in batch]
        notes["coin"] = [unit_hash(seed, "corpus val", text) for text in words]
        notes["key_coin"] = [
            coin if key == text else unit_hash(seed, "corpus val", key)
            for key, text, coin in zip(keys, words, notes["coin"].tolist(), strict=True)
        ]
        sampled = self.config.max_documents is not None
        notes["sample"] = [unit_hash(seed, "sample", text) for text in texts] if sampled else 0
        return notes


class Signer:
    """The signatures of the documents of a part, for near duplicates."""

    def __init__(self, surveyor: Surveyor, part: Part, found: Survey) -> None:
        assert surveyor.config.near_duplicates
        self._config, self._found = surveyor.config.near_duplicates, found
        self._bands = surveyor.writer(part, "bands", found.bands)
        self._signatures = [np.empty((0, minhash.HASHES), np.uint32)]
        found.signatures = surveyor.scratch / f"signatures-{part.name}.npy"

    def add(self, keys: Sequence[str], first: int, vocabulary: WordNumbers) -> None:
        """Add documents, the first of which has the number `first`."""
        hashes, owners = window_hashes(keys, self._config.words, vocabulary)
        signed, numbers = minhash.signatures(hashes, owners, len(keys))
        of_all = np.zeros((len(keys), minhash.HASHES), np.uint32)
        of_all[numbers] = signed
        self._signatures.append(of_all)
        bands = minhash.bands(signed, self._config.similarity)
        self._bands.add(bands.ravel(), np.repeat(numbers + first, bands.shape[1]))

    def close(self) -> None:
        """Write what is in memory."""
        self._bands.close()
        save(self._found.signatures, np.concatenate(self._signatures))


def problem_of(row: dict[str, Any]) -> str:
    """Return what is wrong with a row of the raw corpus; "" if nothing is."""
    messages = row.get("messages")
    if (
        isinstance(row.get("id"), str)
        and isinstance(messages, list)
        and all(isinstance(m, str) for m in messages)
    ):
        return problem_of_text("".join([row["id"], *messages]))
    return (
        "the row is not a document; expected an id and a list of strings called messages: correct the shard, or "
        "download it again."
    )
