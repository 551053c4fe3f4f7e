"""Spam data: deduplicate, split by group, two protocols.

A message is {"id": str, "label": "ham" | "spam", "text": str}; the splits add "group": messages of one group
say the same thing (equal but for numbers, or 13 words in a row in common, directly or over others).
"""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt
from scipy.cluster.hierarchy import DisjointSet

from groundup.datasets.corpus import unit_hash
from groundup.errors import BadInput
from groundup.settings import STRICT
from groundup.text.duplicates import check_loss, keep_first, key_of
from groundup.text.jsonl import read_jsonl, write_splits
from groundup.text.labels import HAM, LABELS, SPAM
from groundup.text.overlap import TextIndex, linked_groups, normalise

Message = dict[str, Any]
Splits = dict[str, list[Message]]  # "train", "val", "test"

BOOK_SEED = 123
_NUMBER = re.compile("0+(?: 0+)*")  # in a normalised text: "0 000" of "1,000"
# The book reads the file with default CSV quoting: the quote that opens the first of these three messages
# closes only at the end of the third, so they become one row, and 5,574 messages 5,572 rows. Which hams are
# drawn depends on it.
BOOK_GLUED = ("Keep ur problems in ur heart", "Yeah, give me a call if", "HI BABE UAWAKE?")


@dataclass(frozen=True)
class SpamConfig:
    """How the messages are split.

    protocol: "deduplicated" drops duplicates before splitting and keeps groups together: messages that differ in
    numbers alone are no duplicates, but of one group. "book" is the
    protocol of "Build a Large Language Model (From Scratch)", chapter 6, duplicates and leaks included; its balance,
    fractions and seed are part of it, so the values below must say the same.
    val_fraction, test_fraction: shares of each label; the rest is train.
    balance: "undersample" drops messages of the larger label at random until both are as large;
    "deduplicated" does it in train only (val and test keep the real proportion), "book" before splitting.
    max_dropped_share: the largest share of the messages read that "deduplicated" may drop, but for those of `balance`;
    above it the stage stops.
    seed: another seed is another split.
    """

    __pydantic_config__ = STRICT

    protocol: Literal["deduplicated", "book"]
    val_fraction: Annotated[float, Gt(0), Lt(1)]
    test_fraction: Annotated[float, Gt(0), Lt(1)]
    balance: Literal["none", "undersample"]
    max_dropped_share: Annotated[float, Ge(0), Le(1)]
    seed: int


def prepare_files(raw: Path, corpus: Path, out: Path, config: SpamConfig) -> tuple[Splits, dict[str, Any]]:
    """Split the messages in `raw` into the folder `out`; `corpus` is the prepared pretraining text; see `prepare`."""
    pretraining = TextIndex(document["messages"] for document in read_jsonl(corpus / "train.jsonl"))
    splits, report = prepare(read_jsonl(raw), config, pretraining)
    write_splits(out, splits, report)
    return splits, report


def prepare(
    messages: Sequence[Message], config: SpamConfig, pretraining: TextIndex | None = None
) -> tuple[Splits, dict[str, Any]]:
    """Split by the configured protocol: (splits, report with every count).

    `pretraining` holds the training texts of earlier stages; under "deduplicated" a group with a message
    found there goes to train.

    Raises:
        BadInput: no message, a label missing, fractions that leave no train part, more dropped than `config` allows,
            groups too large for val or test, or a value the book's protocol does not have.
    """
    labels = Counter(message["label"] for message in messages)
    if not labels[HAM] or not labels[SPAM]:
        raise BadInput(
            f"the spam data has labels {dict(labels)}; expected both ham and spam; check the source file."
        )
    held_out = config.val_fraction + config.test_fraction
    if held_out >= 1:
        raise BadInput(
            f"spam.val_fraction + spam.test_fraction is {held_out:g}; expected under 1, "
            f"so that train gets something; lower one of them."
        )
    if config.protocol == "book":
        splits, facts = _book(messages, config)
    else:
        splits, facts = _deduplicated(messages, config, pretraining)
    report = {
        "protocol": config.protocol,
        "read": len(messages),
        "splits": {
            name: {"messages": len(part), "groups": len({m["group"] for m in part})}
            | {label: sum(m["label"] == label for m in part) for label in LABELS}
            for name, part in splits.items()
        },
        "leakage": leakage(splits),
    }
    return splits, report | facts


def leakage(splits: Splits) -> dict[str, Any]:
    """How many test messages stand in train: verbatim, normalised, and the latter's share of test."""
    exact = {message["text"] for message in splits["train"]}
    normalised = {normalise(text) for text in exact}
    hits = sum(normalise(message["text"]) in normalised for message in splits["test"])
    return {
        "exact": sum(message["text"] in exact for message in splits["test"]),
        "normalised": hits,
        "share": hits / max(1, len(splits["test"])),
    }


def dedupe(messages: Sequence[Message]) -> tuple[list[Message], Counter[str]]:
    """Keep the first message of every text (see `duplicates.key_of`); drop blank ones and all of those that bear
    both labels.

    Returns the messages kept and the count of every reason.
    """
    labels: dict[str, set[str]] = defaultdict(set)
    for message in messages:
        labels[key_of(message["text"])].add(message["label"])
    sound, reasons = [], Counter[str]()
    for message in messages:
        key = key_of(message["text"])
        if not key:
            reasons["blank"] += 1
        elif len(labels[key]) > 1:
            reasons["conflicting labels"] += 1
        else:
            sound.append(message)
    kept, duplicates = keep_first(sound, lambda message: message["text"])
    return kept, reasons + duplicates


def _deduplicated(
    messages: Sequence[Message], config: SpamConfig, pretraining: TextIndex | None
) -> tuple[Splits, dict[str, Any]]:
    kept, dropped = dedupe(messages)
    check_loss(dropped, len(messages), "spam", config.max_dropped_share)
    groups = [kept[first]["id"] for first in _groups([message["text"] for message in kept])]
    kept = [message | {"group": group} for message, group in zip(kept, groups, strict=True)]
    seen = {m["group"] for m in kept if pretraining is not None and pretraining.find(m["text"])}
    place = _assign(kept, seen, config)
    splits: Splits = {
        name: [m for m in kept if place[m["group"]] == name] for name in ("train", "val", "test")
    }
    for name, fraction in (("val", config.val_fraction), ("test", config.test_fraction)):
        if not splits[name] and fraction * len(kept) >= 1:
            raise BadInput(
                f"the {len(kept):,} messages form {len(set(groups))} groups that say the same thing but for numbers "
                f"or share 13 words in a row; expected one small enough for {name} ({fraction:.0%}), since a group is "
                f"never divided: add messages of other kinds, or raise spam.{name}_fraction."
            )
    if config.balance == "undersample":
        before = len(splits["train"])
        splits["train"] = _undersample(splits["train"], config.seed)
        dropped["undersampled"] = before - len(splits["train"])
    return splits, {"dropped": dict(dropped), "kept_in_train": sum(m["group"] in seen for m in kept)}


def _assign(messages: Sequence[Message], pinned: set[str], config: SpamConfig) -> dict[str, str]:
    """Group -> split: per label, groups in hash order fill test, then val, up to their shares; the rest is
    train.

    A group is spam if any of its messages is; `pinned` groups and groups too large for what is left go to
    train.
    """
    members: dict[str, list[Message]] = defaultdict(list)
    for message in messages:
        members[message["group"]].append(message)
    coin = {
        group: min(unit_hash(config.seed, "spam", normalise(m["text"])) for m in part)
        for group, part in members.items()
    }
    place = dict.fromkeys(members, "train")
    for label in LABELS:
        groups = [
            g for g, part in members.items() if any(m["label"] == SPAM for m in part) == (label == SPAM)
        ]
        total = sum(len(members[group]) for group in groups)
        room = {"test": round(total * config.test_fraction), "val": round(total * config.val_fraction)}
        for group in sorted((g for g in groups if g not in pinned), key=coin.__getitem__):
            for name in ("test", "val"):
                if len(members[group]) <= room[name]:
                    place[group] = name
                    room[name] -= len(members[group])
                    break
    return place


def _groups(texts: Sequence[str]) -> list[int]:
    """`linked_groups`, with texts joined that are equal but for the values and lengths of their numbers."""
    linked = linked_groups(texts)
    groups, first = DisjointSet(linked), dict[str, int]()
    for text, group in zip(texts, linked, strict=True):
        groups.merge(first.setdefault(_NUMBER.sub("0", normalise(text)), group), group)
    return [groups[group] for group in linked]


def _undersample(messages: Sequence[Message], seed: int) -> list[Message]:
    size = min(Counter(message["label"] for message in messages).values())
    keep: set[str] = set()
    for label in LABELS:
        ids = [message["id"] for message in messages if message["label"] == label]
        keep.update(sorted(ids, key=lambda id_: unit_hash(seed, "undersample", id_))[:size])
    return [message for message in messages if message["id"] in keep]


def _book(messages: Sequence[Message], config: SpamConfig) -> tuple[Splits, dict[str, Any]]:
    """Chapter 6: as many hams as spams, shuffled, both with `random_state=123`; 70/10/20 of the rows."""
    import pandas  # only this protocol needs its random generator

    found = (config.balance, config.val_fraction, config.test_fraction, config.seed)
    if found != ("undersample", 0.1, 0.2, BOOK_SEED):
        raise BadInput(
            f"spam.protocol book with balance, val_fraction, test_fraction, seed = {found}; expected "
            f"('undersample', 0.1, 0.2, {BOOK_SEED}), which the protocol fixes; set these."
        )
    rows = glue_as_book(messages)
    first: dict[str, str] = {}
    rows = [row | {"group": first.setdefault(normalise(row["text"]), row["id"])} for row in rows]
    frame = pandas.DataFrame({"row": range(len(rows)), "label": [row["label"] for row in rows]})
    spam = frame[frame["label"] == SPAM]
    ham = frame[frame["label"] == HAM]
    if len(ham) < len(spam):
        raise BadInput(
            f"{len(ham)} ham for {len(spam)} spam messages; the book's protocol expects more ham than spam."
        )
    balanced = pandas.concat([ham.sample(len(spam), random_state=BOOK_SEED), spam])
    order = balanced.sample(frac=1, random_state=BOOK_SEED)["row"].tolist()
    train_end = int(len(order) * 0.7)
    val_end = train_end + int(len(order) * 0.1)
    parts = {"train": order[:train_end], "val": order[train_end:val_end], "test": order[val_end:]}
    splits = {name: [rows[i] for i in part] for name, part in parts.items()}
    dropped = {"glued by quoting": len(messages) - len(rows), "undersampled": len(rows) - len(order)}
    return splits, {"dropped": dropped, "kept_in_train": 0}


def glue_as_book(messages: Sequence[Message]) -> list[Message]:
    """The rows that the book's reader makes of the SMS Spam Collection; other data are returned unchanged."""
    rows: list[Message] = []
    at = 0
    while at < len(messages):
        three = messages[at : at + len(BOOK_GLUED)]
        starts = [
            message["text"].lstrip('"').startswith(opening)
            for message, opening in zip(three, BOOK_GLUED, strict=False)
        ]
        if len(starts) == len(BOOK_GLUED) and all(starts):
            tail = "".join(f"\n{message['label']}\t{message['text']}" for message in three[1:])
            rows.append(three[0] | {"text": three[0]["text"] + tail})
            at += len(three)
        else:
            rows.append(messages[at])
            at += 1
    return rows
