"""The documents of a prepared corpus that the expectations have to see: those that may break one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from groundup.parallel.cluster import DaskConfig, ProcessesConfig, map_parts
from groundup.text.documents import Document, text_of
from groundup.text.occurrences import PART_BYTES
from groundup.text.overlap import digests, normalise
from groundup.text.shards import Part, parts_of, read_part

KEYS = np.dtype([("id", "<u8"), ("text", "<u8"), ("split", "u1")])


@dataclass(frozen=True)
class Suspects:
    """Some documents of the splits of a corpus, by their line, and the number of all documents of each split."""

    rows: Mapping[str, Mapping[int, Document]]
    sizes: Mapping[str, int]


def find_suspects(
    corpus: Path, names: Sequence[str], cluster: ProcessesConfig | DaskConfig, *, keep_digits: bool
) -> Suspects:
    """Find documents whose id occurs again, or whose text occurs in another split; also the first of each split.

    Memory holds 17 bytes per document.

    Args:
        corpus: the folder of the prepared corpus.
        names: the splits.
        cluster: where the documents are read.
        keep_digits: see `overlap.normalise`.

    Raises:
        BadInput: as `parts_of` and `read_part` do.
    """
    parts = [
        (split, part)
        for split, name in enumerate(names)
        for part in parts_of(corpus.absolute() / f"{name}.jsonl", PART_BYTES)
    ]
    keys = [*map_parts(partial(_keys, keep_digits), parts, cluster)]
    together = np.concatenate([np.empty(0, KEYS), *keys])
    _, index, counts = np.unique(together["id"], return_inverse=True, return_counts=True)
    wanted = counts[index] > 1
    texts, index = np.unique(together["text"], return_inverse=True)
    pairs = np.unique(np.stack([index, together["split"]]), axis=1)
    wanted |= np.bincount(pairs[0], minlength=len(texts))[index] > 1
    sizes = np.bincount(together["split"], minlength=len(names)).tolist()
    rows: dict[str, dict[int, Document]] = {name: {} for name in names}
    start, before = (
        0,
        dict.fromkeys(range(len(names)), 0),
    )  # documents in earlier parts: of all splits, of each
    for (split, part), of_part in zip(parts, keys, strict=True):
        here = wanted[start : start + len(of_part)]
        if len(here) and not before[split]:
            here[0] = True
        if here.any():
            for number, row in enumerate(read_part(part)):
                if here[number]:
                    rows[names[split]][before[split] + number + 1] = row
        start += len(of_part)
        before[split] += len(of_part)
    return Suspects(rows, dict(zip(names, sizes, strict=True)))


def _keys(keep_digits: bool, task: tuple[int, Part]) -> npt.NDArray[Any]:
    """Return hashes of the id and the normalised text of each document of a part, as KEYS."""
    split, part = task
    ids, texts = [], []
    for row in read_part(part):
        ids.append(str(row.get("id")))
        texts.append(normalise(text_of(row["messages"]), keep_digits=keep_digits))
    found = np.empty(len(ids), KEYS)
    found["id"], found["text"], found["split"] = digests(ids)[:, 0], digests(texts)[:, 0], split
    return found
