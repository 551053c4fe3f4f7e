"""New labelled messages: where each may go, and how they join the prepared splits.

An increment is a file of JSON Lines, one per file of labels that was taken in (see `inbox`). Its rows are {"id",
"label", "text", "split", "source_id"}: "split" is "train" or "gate", decided when the row was taken in, and "source_id"
is the id that the file gave. No new message is ever added to val or test.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundup.datasets.corpus import NearDuplicates
from groundup.errors import BadInput
from groundup.text.duplicates import key_of
from groundup.text.jsonl import read_jsonl_file
from groundup.text.labels import LABELS
from groundup.text.near_duplicates import NearIndex, near_groups, similar_pairs

Message = dict[str, Any]
Splits = dict[str, list[Message]]

GROWING = TRAIN, GATE = ("train", "gate")  # the splits that new messages are added to
# why a message is refused
EVALUATED = "copies or near duplicates of evaluation texts"
CONFLICTING = "labels that conflict with the same text"
DUPLICATE = "duplicates of known messages"
BETWEEN = "near duplicates of both gate and training texts"


@dataclass(frozen=True)
class Known:
    """What new messages are compared with."""

    labels: Mapping[str, set[str]]
    """The labels of each known message, by `key_of` its text."""
    placed: Sequence[tuple[str, str]]
    """The text and the split of every message in train and gate."""
    learned: Container[str] | None
    """What occurs in other training texts: it never goes to gate."""
    evaluated: Sequence[Container[str]]
    """Near duplicates of evaluation texts, which are refused. Gate messages are not among them, only in `placed`."""
    held_out: Sequence[str]
    """The texts of val and test, with which no new message may share most of its words."""
    near: NearDuplicates | None
    """How many words near duplicates share, beside those that differ only in numbers or share 13 consecutive words;
    None: only these are near duplicates."""

    def pairs(self, texts: Sequence[str]) -> list[tuple[int, int]]:
        """Return the pairs of texts that share most of their words."""
        return similar_pairs(texts, self.near.similarity, self.near.words) if self.near else []


def labels_by_key(messages: Iterable[Message]) -> dict[str, set[str]]:
    """Return the labels of each text, by `key_of` the text."""
    labels: dict[str, set[str]] = defaultdict(set)
    for message in messages:
        labels[key_of(message["text"])].add(message["label"])
    return dict(labels)


def judge(messages: Sequence[Message], known: Known, choose: Callable[[Sequence[Message]], str]) -> list[str]:
    """Return for each message the split that it joins, "train" or "gate", or the reason why it is refused.

    A message joins the split of its near duplicates. The group of a message without known near duplicates stays
    together, and `choose` decides where it goes.

    Args:
        messages: rows with "label" and "text", which is not blank.
        choose: all messages of a group -> "train" or "gate".
    """
    own, seen = labels_by_key(messages), set[str]()
    verdicts = []
    for message in messages:
        key = key_of(message["text"])
        if any(message["text"] in index for index in known.evaluated):
            verdicts.append(EVALUATED)
        elif len(own[key] | known.labels.get(key, set())) > 1:
            verdicts.append(CONFLICTING)
        elif key in known.labels or key in seen:
            verdicts.append(DUPLICATE)
        else:
            verdicts.append("")
            seen.add(key)
    fresh = [i for i, verdict in enumerate(verdicts) if not verdict]
    texts = [*known.held_out, *(messages[i]["text"] for i in fresh)]
    held_out = len(known.held_out)
    for left, right in known.pairs(texts):
        if left < held_out <= right:
            verdicts[fresh[right - held_out]] = EVALUATED
    fresh = [i for i in fresh if not verdicts[i]]
    texts = [*(text for text, _ in known.placed), *(messages[i]["text"] for i in fresh)]
    groups = near_groups(texts, known.pairs(texts))
    places: dict[int, set[str]] = defaultdict(set)
    members: dict[int, list[int]] = defaultdict(list)
    for group, (_, split) in zip(groups, known.placed, strict=False):
        places[group].add(split)
    for group, i in zip(groups[len(known.placed) :], fresh, strict=True):
        members[group].append(i)
        if known.learned is not None and messages[i]["text"] in known.learned:
            places[group].add(TRAIN)
    for group, numbers in members.items():
        found = places[group] or {choose([messages[i] for i in numbers])}
        for i in numbers:
            verdicts[i] = BETWEEN if len(found) > 1 else next(iter(found))
    return verdicts


def read_increments(folder: Path) -> list[Message]:
    """Read the rows of all increments in `folder`, each with the name of its file under "increment".

    Raises:
        BadInput: a file is not an increment.
    """
    rows = []
    for path in sorted(folder.glob("*.jsonl")):
        for number, row in enumerate(read_jsonl_file(path), start=1):
            whole = all(isinstance(row.get(key), str) for key in ("id", "text"))
            if not whole or row.get("label") not in LABELS or row.get("split") not in GROWING:
                raise BadInput(
                    f"{path}, line {number}: found the keys {', '.join(row)}; expected id, text, label "
                    f"({' or '.join(LABELS)}) and split ({' or '.join(GROWING)}): put files of labels into the inbox "
                    f"instead, or restore this file with `dvc checkout {path}`."
                )
            rows.append(row | {"increment": path.stem})
    return rows


def add(
    new: Sequence[Message],
    splits: Splits,
    learned: Container[str] | None,
    held_out: Container[str],
    near: NearDuplicates | None,
) -> tuple[Splits, dict[str, Any]]:
    """Add the rows of increments to train and gate: (splits, counts); val and test are unchanged.

    A row goes to its split, unless it has near duplicates in the other one, which it then joins. What has become a
    duplicate, or a near duplicate of an evaluation text, since it was taken in is dropped and counted.

    Args:
        new: rows as from `read_increments`.
        splits: the splits, without new rows.
        learned: see `Known`.
        held_out: near duplicates of evaluation texts of other datasets.
        near: see `Known`.

    Returns:
        The splits, and {"rows": int, "train": int, "gate": int, "dropped": {reason: int}}.
    """
    messages = [message["text"] for name in ("val", "test") for message in splits[name]]
    known = Known(
        labels=labels_by_key(message for part in splits.values() for message in part),
        placed=[(message["text"], name) for name in GROWING for message in splits[name]],
        learned=learned,
        evaluated=(held_out, NearIndex(messages)),
        held_out=messages,
        near=near,
    )
    verdicts = judge(new, known, choose_recorded)
    counts = Counter(verdicts)
    joined = [(row, split) for row, split in zip(new, verdicts, strict=True) if split in GROWING]
    old = [message for name in GROWING for message in splits[name]]
    leaders: dict[int, str] = {}
    texts = [message["text"] for message in old] + [row["text"] for row, _ in joined]
    groups = near_groups(texts, known.pairs(texts))
    for message, group in zip(old, groups, strict=False):
        leaders.setdefault(group, message["group"])
    grown = {name: list(part) for name, part in splits.items()}
    for (row, split), group in zip(joined, groups[len(old) :], strict=True):
        message = {key: row[key] for key in ("id", "label", "text")}
        message |= {"group": leaders.setdefault(group, row["id"]), "increment": row["increment"]}
        grown[split].append(message)
    facts = {"rows": len(new)} | {name: counts.pop(name, 0) for name in GROWING}
    return grown, facts | {"dropped": dict(counts)}


def choose_recorded(group: Sequence[Message]) -> str:
    """Return the recorded split of a group; train if rows of one group were recorded differently (in two clones)."""
    return TRAIN if any(row["split"] == TRAIN for row in group) else GATE
