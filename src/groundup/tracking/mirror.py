"""The copy of the ledger in MLflow: each entry is kept in tags of the registered model to which it belongs.

An entry is cut into tags `ledger.<number>.<part>`, because databases may limit a tag to 5,000 characters. The tag
`ledger.head` is written last, so an entry with a higher number is not carried out yet.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from groundup.settings import STRICT
from groundup.tracking.ledger import Entry
from groundup.tracking.store import Connection

HEAD = "ledger.head"
TAG_CHARACTERS = 4000
PART = re.compile(r"ledger\.(\d+)\.(\d+)")


@dataclass(frozen=True)
class _Head:
    """Number and hash of the last entry that was copied, count of copied entries, hash of the ledger's first entry."""

    __pydantic_config__ = STRICT

    number: int = 0
    count: int = 0
    hash: str = ""
    first: str = ""


_HEAD = TypeAdapter(_Head)


@dataclass(frozen=True)
class Mirror:
    """MLflow's copy of the ledger's entries on one registered model.

    Attributes:
        model: the registered model's name.
        registry: when the registered model was created, in ms, as in the ledger.
        lines: the entries by number, up to the head, as lines of the ledger.
        first: the hash of the ledger's first entry, which identifies the ledger; empty if there is no copy.
        whole: whether every entry that was copied is still there.
        keys: the names of all tags of the registered model.
    """

    model: str
    registry: str
    lines: Mapping[int, str]
    first: str
    whole: bool
    keys: frozenset[str]

    @classmethod
    def of(cls, registered: Any) -> "Mirror":
        """Read the tags of one of MLflow's registered models."""
        tags = registered.tags
        head = _Head()
        with suppress(ValidationError):  # somebody changed the tag: the copy is not whole
            head = _HEAD.validate_json(tags.get(HEAD, "{}"))
        parts = sorted((int(m[1]), int(m[2]), tags[m[0]]) for m in map(PART.fullmatch, tags) if m)
        lines: dict[int, str] = {}
        for number, _, piece in parts:
            if number <= head.number:
                lines[number] = lines.get(number, "") + piece
        whole = len(lines) == head.count and head.hash in lines.get(head.number, "")
        whole &= head.number > 0 or HEAD not in tags
        registry = str(registered.creation_timestamp)
        return cls(registered.name, registry, lines, head.first, whole, frozenset(tags))


def write(connection: Connection, mirror: Mirror, entries: Sequence[Entry], first: str) -> None:
    """Copy the last of a model's entries to the tags of the registered model.

    Args:
        connection: the store.
        mirror: the copy so far.
        entries: all entries of the model in this store, up to the one to copy.
        first: the hash of the ledger's first entry.
    """
    client, entry = connection.client, entries[-1]
    starts = range(0, len(entry.line), TAG_CHARACTERS)
    pieces = {
        f"ledger.{entry.number:06d}.{part}": entry.line[start : start + TAG_CHARACTERS]
        for part, start in enumerate(starts)
    }
    # tags of an earlier entry with this number, which was removed from the ledger before it was carried out
    for old in filter(None, map(PART.fullmatch, mirror.keys - pieces.keys())):
        if int(old[1]) == entry.number:
            client.delete_registered_model_tag(entry.model, old[0])
    head = json.dumps(asdict(_Head(entry.number, len(entries), entry.hash, first)))
    for key, value in {**pieces, HEAD: head}.items():
        client.set_registered_model_tag(entry.model, key, value)


def pending(entries: Iterable[Entry], mirrors: Iterable[Mirror]) -> list[Entry]:
    """Return the entries that belong to one of the mirrors (same model, same registry) but have no copy in it."""
    copied = {(mirror.model, mirror.registry): mirror.lines for mirror in mirrors}
    return [
        entry
        for entry in entries
        if (entry.model, entry.registry) in copied and entry.number not in copied[entry.model, entry.registry]
    ]


def faults(entries: Sequence[Entry], mirrors: Sequence[Mirror]) -> list[str]:
    """Return one sentence per contradiction between the ledger and its copies, in the order of the entries.

    A single pending entry is no fault: a process was killed before it carried the entry out.
    """
    found: list[tuple[int, str]] = []
    for mirror in mirrors:
        where = f"MLflow's copy of the ledger at {mirror.model}"
        if not mirror.whole:
            found.append((0, f"{where} lacks entries that were there: tags were deleted or changed"))
        for number, line in sorted(mirror.lines.items()):
            if number > len(entries):
                what = "the file was cut, is an older one, or another clone wrote the entry"
                found.append((number, f"entry {number} of the ledger is missing, which {where} has: {what}"))
            elif entries[number - 1].line != line:
                what = "the ledger was rewritten, or another clone wrote its own entry"
                found.append((number, f"entry {number} of the ledger differs from {where}: {what}"))
    unknown = pending(entries, mirrors)
    if len(unknown) > 1:
        numbers = ", ".join(str(entry.number) for entry in unknown)
        why = "MLflow's database is an older one, or they were added by hand"
        found.append((unknown[0].number, f"entries {numbers} of the ledger have no copy in MLflow: {why}"))
    return [text for _, text in sorted(found)]
