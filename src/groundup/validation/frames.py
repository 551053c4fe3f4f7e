"""Turn rows into pandas frames for validation, with derived columns for the expectations.

The names of derived columns start with "_"; reports do not show them.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from groundup.datasets.conversations import is_history
from groundup.datasets.instructions import prompt_of
from groundup.datasets.readers import COLUMNS, Rows
from groundup.datasets.verses import chapter_of, testament_of
from groundup.text.documents import text_of
from groundup.text.labels import SPAM
from groundup.text.overlap import normalise

# "train", "val", ... -> rows, or some of the rows by their line
Splits = Mapping[str, Sequence[Mapping[str, Any]] | Mapping[int, Mapping[str, Any]]]
# derived columns of raw_frame
DERIVED = {
    "pretraining": ("_text", "_repeats"),
    "spam": ("_text", "_repeats", "_spam"),
    "instructions": ("_text", "_repeats"),
    "preferences": ("_text", "_repeats"),
}


def raw_frame(rows: Rows, role: str) -> pd.DataFrame:
    """Return a frame of raw rows, numbered from 1 as in their file; its columns are the keys found and derived ones.

    `_text` is all text of the row, or None if a part is missing or not a string, or if the history is invalid.
    `_repeats` is 1 if an earlier row has the same text, else 0. `_spam` (spam only) is 1.0 for spam, else 0.0.
    """
    rows = [{key: _repaired(value) for key, value in row.items()} for row in rows]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    frame = pd.DataFrame({column: [row.get(column) for row in rows] for column in columns})
    frame["_text"] = pd.Series([_whole_text(row, role) for row in rows], dtype="object")
    frame["_repeats"] = frame["_text"].duplicated().astype(int)
    if role == "spam":
        frame["_spam"] = pd.Series([float(row.get("label") == SPAM) for row in rows])
    frame.index = pd.RangeIndex(1, len(frame) + 1)
    return frame


def _repaired(value: Any) -> Any:
    """Replace halves of surrogate pairs, which pandas cannot store, by U+FFFD, for which an expectation searches."""
    if isinstance(value, list):
        return [_repaired(item) for item in value]
    if isinstance(value, dict):
        return {key: _repaired(item) for key, item in value.items()}
    if isinstance(value, str) and not value.isascii():
        return value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    return value


def _whole_text(row: Mapping[str, Any], role: str) -> str | None:
    if role == "pretraining":
        parts = row.get("messages")
    else:
        history = row.get("history", [])
        if not is_history(history):
            return None
        parts = [message["content"] for message in history]
        parts += [row.get(column) for column in COLUMNS[role][2:]]
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        return None
    return "\n".join(parts)


def split_frame(role: str, splits: Splits, digits_count: bool = False) -> pd.DataFrame:
    """Return a frame of the rows of all splits of a role, labelled "<split> <line>", with derived columns.

    `_splits_of_text` is the number of splits in which the row's text occurs; if `digits_count`, texts that differ only
    in digits are different. Spam only: `_splits_of_group` is the same for its group, `_spam` is 1.0 or 0.0, and `_new`
    is whether the row is a new labelled message (see `datasets.increments`). Instructions only: `_family_is`
    "held out", "trained", or "leaked" for rows of a held-out family in another split.
    """
    rows = [(split, number, row) for split, part in splits.items() for number, row in numbered(part)]
    places = [split for split, _, _ in rows]
    columns = [*COLUMNS[role], *(["group"] if role == "spam" else [])]
    frame = pd.DataFrame({column: [_repaired(row.get(column)) for _, _, row in rows] for column in columns})
    frame.insert(0, "split", pd.Series(places, dtype="object"))
    frame["_splits_of_text"] = _spread(
        [normalise(_text(row, role), keep_digits=digits_count) for _, _, row in rows], places
    )
    if role == "spam":
        frame["_splits_of_group"] = _spread(frame["group"].tolist(), places)
        frame["_spam"] = (frame["label"] == SPAM).astype(float)
        frame["_new"] = ["increment" in row for _, _, row in rows]
    if role == "instructions":
        held = {row["family"] for split, _, row in rows if split == "held_out"}
        frame["_family_is"] = [
            "trained" if row["family"] not in held else "held out" if split == "held_out" else "leaked"
            for split, _, row in rows
        ]
    frame.index = pd.Index([f"{split} {number}" for split, number, _ in rows], dtype="object")
    return frame


def numbered(
    part: Sequence[Mapping[str, Any]] | Mapping[int, Mapping[str, Any]],
) -> Iterable[tuple[int, Mapping[str, Any]]]:
    """Return the rows of a split with their lines."""
    return part.items() if isinstance(part, Mapping) else enumerate(part, start=1)


def verse_frame(splits: Splits) -> pd.DataFrame:
    """Return a frame of the pairs of verses of all splits, labelled "<split> <line>", with derived columns.

    `_splits_of_id`, `_splits_of_chapter` and `_splits_of_source` are the numbers of splits in which the id, the chapter
    and the source text occur. `_testament` names the testament and the split. `_ratio` is the number of target
    characters per source character. `_side` is "own" if the sources of the chapter share at least as many words with
    their own targets as with those of the next verses, else "another": then the verses are probably shifted.
    """
    rows = [(split, number, row) for split, part in splits.items() for number, row in numbered(part)]
    places = [split for split, _, _ in rows]
    columns = ("id", "source", "target")
    frame = pd.DataFrame({column: [_repaired(row.get(column)) for _, _, row in rows] for column in columns})
    frame.insert(0, "split", pd.Series(places, dtype="object"))
    ids, sources, targets = (frame[column].astype(str).tolist() for column in columns)
    chapters = [chapter_of(key) for key in ids]
    frame["_testament"] = [f"{testament_of(key)} in {place}" for key, place in zip(ids, places, strict=True)]
    frame["_splits_of_id"] = _spread(ids, places)
    frame["_splits_of_chapter"] = _spread(chapters, places)
    frame["_splits_of_source"] = _spread([normalise(text) for text in sources], places)
    frame["_ratio"] = [len(t) / max(1, len(s)) for s, t in zip(sources, targets, strict=True)]
    words = [[set(normalise(text).split()) for text in side] for side in (sources, targets)]
    # each chapter's overlap of sources with their own targets, and with the next verses' targets
    shared: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for i, chapter in enumerate(chapters):
        if i + 1 < len(chapters) and chapters[i + 1] == chapter:
            for which, target in enumerate(words[1][i : i + 2]):
                shared[chapter][which] += len(words[0][i] & target) / max(1, len(words[0][i] | target))
    frame["_side"] = ["own" if shared[c][0] >= shared[c][1] else "another" for c in chapters]
    frame.index = pd.Index([f"{split} {number}" for split, number, _ in rows], dtype="object")
    return frame


def _text(row: Mapping[str, Any], role: str) -> str:
    if role == "pretraining":
        return text_of(row["messages"])
    return str(row["text"]) if role == "spam" else prompt_of(dict(row))


def _spread(keys: Sequence[Hashable], places: Sequence[str]) -> list[int]:
    """Return, for each key in order, the number of different places in which it occurs."""
    found = defaultdict(set)
    for key, place in zip(keys, places, strict=True):
        found[key].add(place)
    return [len(found[key]) for key in keys]
