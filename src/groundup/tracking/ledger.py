"""The ledger of promotions: a file of JSON Lines that only grows, in which every entry has the hash of the one before.

An edited, removed, inserted or moved entry breaks the chain of hashes. Removing the last entries does not break it, nor
does forging entries with all their hashes; comparison with the copy in MLflow finds both (mirror.py).
"""

import hashlib
import json
import math
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge
from pydantic import TypeAdapter, ValidationError

from groundup.errors import BadInput
from groundup.files import held, sync
from groundup.settings import STRICT, describe

LEDGER = Path("reports") / "ledger.jsonl"  # in the project's folder
LOCK_SECONDS = 60.0  # a promotion takes less than a second

Action = Literal["promoted", "kept", "undecided", "rolled_back", "adopted"]


@dataclass(frozen=True)
class Entry:
    """One comparison of a candidate with its champion, or one move of the alias champion.

    Raises:
        ValueError: `time` is not in ISO format.
    """

    __pydantic_config__ = STRICT

    number: Annotated[int, Ge(1)]
    time: str
    """UTC, ISO 8601."""
    model: str
    """Name of the registered model."""
    registry: str
    """When the registered model was created, in ms: distinguishes the stores of clones that share one history."""
    action: Action
    """`promoted`, `rolled_back` and `adopted` (moved by hand in MLflow) move the champion; the others keep it."""
    before: str | None
    """The champion's version before the entry; None if there was no champion."""
    after: str | None
    """The champion's version after the entry."""
    candidate: str | None
    """The version that was promoted or compared with the champion; None for rollbacks and adoptions."""
    numbers: dict[str, Any]
    """The measurements on which the decision was based."""
    reasons: tuple[str, ...]
    run_id: str
    """The MLflow run that made the candidate or, without one, the version `after`."""
    revision: str
    """git revision of the code that wrote the entry."""
    lock: str
    """SHA-256 of dvc.lock."""
    actor: str
    """The person, flow or stage that asked for the move."""
    previous: str
    """Hash of the entry before; empty for the first."""
    hash: str
    """SHA-256 of the canonical JSON of all other fields."""

    def __post_init__(self) -> None:
        datetime.fromisoformat(self.time)

    @property
    def line(self) -> str:
        """The entry as one line of the ledger, without the newline."""
        return _canonical(asdict(self))

    @property
    def correct_hash(self) -> str:
        """The hash that the entry must have."""
        return _hash({key: value for key, value in asdict(self).items() if key != "hash"})


_ENTRY = TypeAdapter(Entry)


class Ledger:
    """The ledger in one file. A process that appends holds a lock, which is a file in the same folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from appending; first remove an incomplete last line that a killed process has left.

        Raises:
            BadInput: another process holds the lock for too long, or the file cannot be written.
        """
        with self._writable():
            self.path.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            with self._writable():
                lock = self.path.with_name(f"{self.path.name}.lock")
                stack.enter_context(held(lock, "promote or roll back a model", LOCK_SECONDS))
                self._remove_incomplete_line()
            yield

    def entries(self) -> list[Entry]:
        """Read all entries and check their chain; a last line without its newline is ignored.

        Raises:
            BadInput: an entry is damaged, or does not follow the one before it; the message names the first one.
        """
        entries: list[Entry] = []
        for line in self._read().split(b"\n")[:-1]:
            if problem := self._appended(entries, line):
                raise BadInput(
                    f"{self.path} is damaged at entry {len(entries) + 1}: {problem}; expected the file as groundup "
                    f"wrote it: restore it with `git checkout -- {self.path}` (if it was never committed, move it "
                    "away), then add later entries from MLflow with `groundup models --restore`"
                )
        return entries

    def append(self, entries: list[Entry], **facts: Any) -> Entry:
        """Write the next entry to the disk, add it to `entries` and return it; the caller holds the lock.

        Args:
            entries: all entries of the file.
            facts: the fields of `Entry` except `number`, `time`, `previous` and `hash`.

        Raises:
            BadInput: the file cannot be written.
        """
        last = entries[-1].hash if entries else ""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        values = _plain({**facts, "number": len(entries) + 1, "time": now, "previous": last})
        entry = _ENTRY.validate_python({**values, "hash": _hash(values)})
        self._write([entry.line])
        entries.append(entry)
        return entry

    def extend(self, entries: list[Entry], lines: Iterable[str]) -> None:
        """Append entries of MLflow's copy, if they continue the chain; the caller holds the lock.

        Args:
            entries: all entries of the file; the new ones are added.
            lines: the new entries, as lines without a newline.

        Raises:
            BadInput: a line does not continue the chain, or the file cannot be written; then no entry is added.
        """
        longer, added = list(entries), list(lines)
        for line in added:
            if problem := self._appended(longer, line.encode()):
                raise BadInput(
                    f"MLflow's copy of entry {len(longer) + 1} does not continue {self.path}: {problem}; expected the "
                    f"entry that follows: restore the newest file with `git checkout -- {self.path}`, and try again"
                )
        self._write(added)
        entries[:] = longer

    @staticmethod
    def _appended(entries: list[Entry], line: bytes) -> str:
        """Add the entry in `line` to `entries`, or return what is wrong with it."""
        try:
            text = line.decode()
            entry = _ENTRY.validate_json(text)
            same = entry.line == text
        except ValidationError as error:
            return f"it is not an entry ({describe(error)[:200]})"
        except ValueError as error:  # not UTF-8, or a number that is not finite
            return f"it is not an entry ({error})"
        if entry.hash != entry.correct_hash or not same:
            return "it was changed after it was written"
        if entry.number != len(entries) + 1:
            return f"it has number {entry.number}"
        if entry.previous != (entries[-1].hash if entries else ""):
            return "it does not follow the entry before it"
        entries.append(entry)
        return ""

    def _read(self) -> bytes:
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise BadInput(f"{self.path} cannot be read ({error}); make it readable and try again") from error

    def _write(self, lines: Iterable[str]) -> None:
        with self._writable():
            is_new = not self.path.exists()
            with self.path.open("ab") as file:
                file.write("".join(f"{line}\n" for line in lines).encode())
                file.flush()
                os.fsync(file.fileno())
            if is_new:
                sync(self.path.parent)

    def _remove_incomplete_line(self) -> None:
        content = self._read()
        whole = content.rfind(b"\n") + 1
        if whole == len(content):
            return
        with self.path.open("r+b") as file:
            file.truncate(whole)
            os.fsync(file.fileno())
        print(
            f"warning: the last line of {self.path} was incomplete and has been removed: a process was killed while it "
            "wrote the line, before it moved an alias",
            file=sys.stderr,
        )

    @contextmanager
    def _writable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise BadInput(
                f"{self.path} cannot be written ({error}); make it and its folder writable, and try again"
            ) from error


def _canonical(values: Mapping[str, Any]) -> str:
    return json.dumps(values, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _hash(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(_canonical(values).encode()).hexdigest()


def _plain(value: Any) -> Any:
    """Return `value` with the types of JSON: numpy's scalars as Python's, tuples as lists, NaN and infinity as None.

    Bytes of a command line that are not UTF-8 become question marks.
    """
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
