"""The inbox: files of labelled messages, read and examined whole, then row by row.

A file has the columns "text" and "label" (ham or spam), and optionally "id" (see `messages`) and "split" (train or
gate, see `choose_split`); other columns are ignored and named in the outcome. A file that cannot be trusted is refused
whole. Of other files, single rows are quarantined (they break an expectation on raw data) or refused (duplicates, near
duplicates of evaluation texts, conflicting labels); the rest is accepted as an increment (see `increments`).
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Gt, Le

from groundup.datasets.catalogue import Dataset, Expect
from groundup.datasets.corpus import NearDuplicates, unit_hash
from groundup.datasets.increments import DUPLICATE, GATE, GROWING, TRAIN, Known, judge, labels_by_key
from groundup.datasets.instructions import EVALUATED as INSTRUCTION_SPLITS
from groundup.datasets.instructions import prompt_of, training_texts
from groundup.datasets.messages import SHOWN, read_rows, shown
from groundup.errors import BadInput
from groundup.settings import STRICT
from groundup.text.counts import counted
from groundup.text.documents import text_of
from groundup.text.duplicates import key_of
from groundup.text.jsonl import read_jsonl, read_splits
from groundup.text.labels import LABELS
from groundup.text.near_duplicates import NearIndex
from groundup.text.overlap import Text, TextIndex, normalise
from groundup.text.printable import printable

Message = dict[str, Any]
# rows, dataset -> (row number from 1 -> expectations that it breaks, broken expectations on the whole table)
Faults = Callable[[list[Message], Dataset], tuple[Mapping[int, Sequence[str]], Sequence[str]]]


@dataclass(frozen=True)
class InboxConfig:
    """The section `inbox` of params.yaml: which files of labelled messages are accepted, and where their rows go."""

    __pydantic_config__ = STRICT

    gate_share: Annotated[float, Ge(0), Le(1)]
    """Share of the new groups of near duplicates that goes to gate, by hash; the rest goes to train. A file with the
    column `split` decides it itself."""
    max_rows: Annotated[int, Ge(1)]
    """Most rows of a file; about ten times as many as a file usually has."""
    max_chars: Annotated[int, Ge(1)]
    """Most characters of a message; longer ones are quarantined."""
    spam_share: tuple[Annotated[float, Ge(0), Le(1)], Annotated[float, Ge(0), Le(1)]]
    """Smallest and largest share of spam in a file, [least, greatest]; [0.01, 0.99] refuses files of one class."""
    share_checked_from: Annotated[int, Ge(1)]
    """Number of rows from which `spam_share` is checked."""
    max_rejected_share: Annotated[float, Gt(0), Le(1)]
    """Largest share of the rows that may be quarantined or refused; a file with more is refused whole. Duplicates of
    known messages with the same label do not count."""


@dataclass(frozen=True)
class Outcome:
    """What became of one file. It contains no text of a message except in `accepted`."""

    file: str
    sha256: str
    """Of the file's bytes; its beginning names the increment."""
    rows: int
    accepted: tuple[Message, ...] = ()
    """The rows of the increment."""
    quarantined: tuple[tuple[int, str, tuple[str, ...]], ...] = ()
    """(number of the row from 1, id, expectations that it breaks)."""
    refused: tuple[tuple[int, str, str], ...] = ()
    """(number of the row from 1, id, reason)."""
    ignored_columns: tuple[str, ...] = ()
    reason: str = ""
    """Why nothing of the file was accepted; empty if something was."""
    repeated: bool = False
    """Nothing is wrong with the file, but nothing in it is new."""

    @property
    def name(self) -> str:
        """The name of the increment, and of the file in quarantine, without suffix."""
        return self.sha256[:16]

    @property
    def reasons(self) -> dict[str, int]:
        """The number of rows quarantined or refused for each reason; a row may have several."""
        broken = [says for _, _, expectations in self.quarantined for says in expectations]
        return dict(Counter([*broken, *(why for _, _, why in self.refused)]))

    def as_json(self) -> dict[str, Any]:
        """Return the file that is kept in quarantine beside the original: the reasons, by row, without texts."""
        rows = [{"row": n, "id": id_, "reasons": list(whys)} for n, id_, whys in self.quarantined]
        rows += [{"row": n, "id": id_, "reasons": [why]} for n, id_, why in self.refused]
        return {
            "file": self.file,
            "sha256": self.sha256,
            "nothing_accepted": self.reason or None,
            "rows": self.rows,
            "accepted": len(self.accepted),
            "ignored_columns": list(self.ignored_columns),
            "reasons": self.reasons,
            "rejected_rows": sorted(rows, key=lambda row: row["row"]),
        }


def labelled_rows(data: bytes, name: str) -> tuple[list[Message], tuple[str, ...]]:
    """Return the rows of a file as {"id", "label", "text", "split"}, without ids numbered; and the ignored columns.

    A text that is not a string becomes None, which breaks an expectation.

    Raises:
        BadInput: the file cannot be read, has no rows, lacks a column, or has other labels or splits.
    """
    rows, ignored = read_rows(data, name, required=("text", "label"))
    if not rows:
        raise BadInput(f"{name}: found no rows; expected at least one, with text and label: add rows.")
    unknown = Counter(shown(row.get("label")) for row in rows if row.get("label") not in LABELS)
    if unknown:
        found = ", ".join(f"{label} ({counted(count, 'row')})" for label, count in unknown.most_common(SHOWN))
        raise BadInput(f"{name}: found the labels {found}; expected {' or '.join(LABELS)}: correct them.")
    if other := sorted({shown(row["split"]) for row in rows if row.get("split") not in (None, "", *GROWING)}):
        raise BadInput(
            f"{name}: found the splits {', '.join(other[:SHOWN])}; expected {' or '.join(GROWING)}, or nothing: "
            f"correct or remove the column split."
        )
    made = []
    for number, row in enumerate(rows, start=1):
        id_, text = row.get("id"), row.get("text")
        id_ = f"row-{number:06d}" if id_ in (None, "") else printable(str(id_), "")
        text, split = text if isinstance(text, str) else None, row.get("split") or None
        made.append({"id": id_, "label": row["label"], "text": text, "split": split})
    return made, tuple(printable(column, "") for column in ignored)


def examine(data: bytes, name: str, known: Known, config: InboxConfig, faults: Faults) -> Outcome:
    """Decide what becomes of a file: it never raises BadInput, the reason is in the outcome.

    Args:
        data: the file's bytes.
        name: the file's name, with its suffix.
        known: see `read_known`; extend it with `with_rows` before the next file.
        faults: checks the expectations on raw data.
    """
    outcome = Outcome(name, hashlib.sha256(data).hexdigest(), 0)
    try:
        rows, ignored = labelled_rows(data, name)
        outcome = replace(outcome, rows=len(rows), ignored_columns=ignored)
        raw = [{key: row[key] for key in ("id", "label", "text")} for row in rows]
        broken, table = faults(raw, _expected(name, len(rows), config))
        if table:
            raise BadInput(
                f"{name}: the file does not meet these expectations: {' '.join(table)} Check its source."
            )
    except BadInput as error:
        return replace(outcome, reason=str(error))
    sound = [(number, row) for number, row in enumerate(rows, start=1) if number not in broken]
    verdicts = judge([row for _, row in sound], known, partial(choose_split, config.gate_share))
    outcome = replace(
        outcome,
        quarantined=tuple((n, rows[n - 1]["id"], tuple(says)) for n, says in sorted(broken.items())),
        refused=tuple(
            (n, row["id"], verdict)
            for (n, row), verdict in zip(sound, verdicts, strict=True)
            if verdict not in GROWING
        ),
        accepted=tuple(
            increment_row(row, verdict)
            for (_, row), verdict in zip(sound, verdicts, strict=True)
            if verdict in GROWING
        ),
    )
    return _refused_if_mostly_bad(outcome, config)


def _refused_if_mostly_bad(outcome: Outcome, config: InboxConfig) -> Outcome:
    bad = len(outcome.quarantined) + sum(why != DUPLICATE for _, _, why in outcome.refused)
    counts = ", ".join(f"{count:,} {why}" for why, count in outcome.reasons.items())
    if bad > config.max_rejected_share * outcome.rows:
        why = (
            f"{outcome.file}: {bad:,} of {outcome.rows:,} rows would be quarantined or refused ({counts}); "
            f"inbox.max_rejected_share allows {config.max_rejected_share:.0%}: check the source of the file."
        )
        return replace(outcome, accepted=(), reason=why)
    if not outcome.accepted:
        what = "can be accepted" if bad else "is new"
        return replace(outcome, reason=f"{outcome.file}: no row {what} ({counts}).", repeated=not bad)
    return outcome


def _expected(name: str, rows: int, config: InboxConfig) -> Dataset:
    """Return the bands of a file as a dataset of the catalogue.

    They allow 0 characters: an empty text has its own expectation, and one reason is enough.
    """
    share = config.spam_share if rows >= config.share_checked_from else None
    expect = Expect(rows=(1, config.max_rows), text_chars=(0, config.max_chars), spam_share=share)
    return Dataset(name="inbox", role="spam", title=name, licence="", citation="", expect=expect)


def choose_split(gate_share: float, group: Sequence[Message]) -> str:
    """Return the split of a group of near duplicates: that which the file names (train, if it names both).

    Otherwise a fixed share goes to gate, by the hash of its first text. Messages that were chosen with the help of a
    model, such as the champion's least certain ones, must be named train: the champion is wrong on half of them, so a
    gate with them would promote challengers that are no better.
    """
    if named := {message["split"] for message in group if message.get("split")}:
        return TRAIN if TRAIN in named else GATE
    first = min(normalise(message["text"]) for message in group)
    return GATE if unit_hash(0, "inbox", first) < gate_share else TRAIN


def increment_row(row: Message, split: str) -> Message:
    """Return a row of an increment; its id depends only on `key_of` its text, so no two rows have the same."""
    made = hashlib.sha256(key_of(row["text"]).encode()).hexdigest()[:16]
    return {
        "id": f"new-{made}",
        "label": row["label"],
        "text": row["text"],
        "split": split,
        "source_id": row["id"],
    }


def read_known(
    raw: Path,
    spam: Path,
    corpus: Path,
    instructions: Path,
    increments: Sequence[Message],
    near: NearDuplicates | None,
) -> Known:
    """Read what new messages are compared with.

    Args:
        raw: the raw messages, JSON Lines.
        spam, corpus, instructions: folders of the prepared splits.
        increments: rows as from `read_increments`; they may be in the splits already.
        near: see `Known`.

    Raises:
        BadInput: a file is missing: the pipeline has not run.
    """
    messages = read_splits(spam, ("train", "val", "test", "gate"))
    documents = read_splits(corpus, ("train", "val", "gate"))
    tasks = read_splits(instructions, ("train", *INSTRUCTION_SPLITS))
    prepared = {message["id"] for part in messages.values() for message in part}
    placed = [(message["text"], split) for split in GROWING for message in messages[split]]
    placed += [(row["text"], row["split"]) for row in increments if row["id"] not in prepared]
    learned: list[Text] = [d["messages"] for split in ("train", "gate") for d in documents[split]]
    learned += [text for row in tasks["train"] for text in training_texts(row)]
    held_out = [message["text"] for split in ("val", "test") for message in messages[split]]
    evaluated = [*held_out]
    evaluated += [text_of(d["messages"]) for split in ("val", "gate") for d in documents[split]]
    evaluated += [prompt_of(row) for split in INSTRUCTION_SPLITS for row in tasks[split]]
    return Known(
        labels=labels_by_key([*read_jsonl(raw), *increments]),
        placed=placed,
        learned=TextIndex(learned),
        evaluated=(NearIndex(evaluated),),
        held_out=held_out,
        near=near,
    )


def with_rows(known: Known, rows: Sequence[Message]) -> Known:
    """Return `known` with the rows of one more increment."""
    labels = {key: set(found) for key, found in known.labels.items()}
    for key, found in labels_by_key(rows).items():
        labels.setdefault(key, set()).update(found)
    return replace(
        known, labels=labels, placed=[*known.placed, *((row["text"], row["split"]) for row in rows)]
    )
