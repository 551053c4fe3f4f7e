"""Spam data: deduplicate the messages and split them by group, or split them as the book does.

A message is {"id": str, "label": "ham" | "spam", "text": str}; in the splits it also has "group". Messages of
one group are near duplicates, directly or through other messages (see `near_duplicates`). The splits are "train",
"val" (for choosing), "test" (for reporting) and "gate" (for the decision whether a new model serves). New labelled
messages are added to train and gate only (see `increments`).
"""

from collections import Counter, defaultdict
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Gt, Le, Lt
from pydantic import Discriminator

from groundup.datasets.corpus import NearDuplicates, unit_hash
from groundup.datasets.increments import add, read_increments
from groundup.errors import BadInput
from groundup.files import scratch_folder
from groundup.parallel.cluster import HERE, DaskConfig, ProcessesConfig
from groundup.settings import STRICT, Seed
from groundup.text.duplicates import check_loss, keep_first, key_of
from groundup.text.jsonl import read_jsonl, write_splits
from groundup.text.labels import HAM, LABELS, SPAM
from groundup.text.near_duplicates import NearIndex, near_groups, similar_pairs
from groundup.text.occurrences import TEMPLATE, batches_in, batches_of, index_items
from groundup.text.overlap import KINDS, normalise

Message = dict[str, Any]
Splits = dict[str, list[Message]]

SPLITS = ("train", "val", "test", "gate")

BOOK_SEED = 123
# The book reads the file with default CSV quoting: the quote that opens the first of these three messages is closed
# only at the end of the third, so the three become one row, and 5,574 messages become 5,572 rows. The book's random
# choice of hams depends on the number of rows.
BOOK_GLUED = ("Keep ur problems in ur heart", "Yeah, give me a call if", "HI BABE UAWAKE?")


@dataclass(frozen=True)
class DeduplicatedSpamConfig:
    """Spam protocol "deduplicated": duplicates are dropped before splitting, and groups stay together.

    Messages that differ only in numbers are not duplicates, but they are in one group.
    """

    __pydantic_config__ = STRICT

    protocol: Literal["deduplicated"]
    val_fraction: Annotated[float, Gt(0), Lt(1)]
    """Share of each label for validation."""
    test_fraction: Annotated[float, Gt(0), Lt(1)]
    """Share of each label for the test."""
    gate_fraction: Annotated[float, Ge(0), Lt(1)]
    """Share of each label for the decision whether a new model serves, taken after test and validation; the rest is
    train."""
    balance: Literal["none", "undersample"]
    """undersample: drop random messages of the more frequent label, in train only, until both are equally frequent."""
    near_duplicates: NearDuplicates | None
    """Keep messages together in one split that are similar to each other, directly or through others, as also those
    that differ only in numbers or share 13 consecutive words; null = only these.
    """
    max_dropped_share: Annotated[float, Ge(0), Le(1)]
    """Largest share of the messages that may be dropped, apart from those that `balance` drops; above it the
    stage stops.
    """
    seed: Seed
    """Another seed gives another split."""


@dataclass(frozen=True)
class BookSpamConfig:
    """Spam protocol "book": that of "Build a Large Language Model (From Scratch)", chapter 6.

    Duplicates are kept, so some test messages also occur in train. Hams are dropped until there are as many
    as spams, and the rows are split into 70% train, 10% val and 20% test, with seed 123. Gate is empty, and
    new labelled messages are left out.
    """

    __pydantic_config__ = STRICT

    protocol: Literal["book"]


SpamConfig = Annotated[DeduplicatedSpamConfig | BookSpamConfig, Discriminator("protocol")]


@dataclass(frozen=True)
class Elsewhere:
    """Messages that occur in the corpus, which decides where they may go."""

    learned: Container[str]
    """Messages found in train or gate: their groups go to train."""
    held_out: Container[str]
    """Near duplicates of a document of val or gate: they are left out of train, and of gate if they are new."""


def prepare_files(
    raw: Path,
    corpus: Path,
    out: Path,
    config: SpamConfig,
    labelled: Path | None = None,
    cluster: ProcessesConfig | DaskConfig = HERE,
) -> tuple[Splits, dict[str, Any]]:
    """Split the spam messages of a file, and write the splits and the report to a folder.

    Args:
        raw: the file of messages, JSON Lines.
        corpus: the folder of the prepared pretraining corpus; the protocol "book" does not read it.
        out: the folder to write.
        config: the protocol and its settings.
        labelled: the folder of the new labelled messages (see `increments`); None: there are none.
        cluster: where the corpus is searched for the messages; it does not change what is written.

    Returns:
        The splits and the report of `prepare`.

    Raises:
        BadInput: as `prepare` does, or an increment cannot be read.
    """
    book = isinstance(config, BookSpamConfig)
    new = read_increments(labelled) if labelled and not book else ()
    messages = read_jsonl(raw)
    elsewhere = None
    if not book:
        with scratch_folder(out) as scratch:
            elsewhere = find_elsewhere(corpus, [m["text"] for m in [*messages, *new]], scratch, cluster)
    splits, report = prepare(messages, config, elsewhere, new)
    write_splits(out, splits, report)
    return splits, report


def find_elsewhere(
    corpus: Path, texts: Sequence[str], scratch: Path, cluster: ProcessesConfig | DaskConfig
) -> Elsewhere:
    """Search the splits of the corpus for the texts of messages, a part of the corpus at a time.

    Args:
        corpus: the folder of the prepared pretraining corpus.
        texts: the messages.
        scratch: a folder for the index of the messages.
        cluster: where the corpus is searched.

    Raises:
        BadInput: a split is missing, or as `occurrences.index_items` does.
    """
    items = index_items(batches_in(texts), scratch, cluster, templates=True)
    flags = {
        name: items.search(batches_of(corpus / f"{name}.jsonl"), cluster).flags
        for name in ("train", "val", "gate")
    }
    whole, near = (sum(1 << items.index.kinds.index(kind) for kind in some)
                   for some in (KINDS, (KINDS[-1], TEMPLATE)))  # fmt: skip
    learned = (flags["train"] | flags["gate"]) & whole != 0
    held_out = (flags["val"] | flags["gate"]) & near != 0
    return Elsewhere(
        learned={texts[i] for i in np.flatnonzero(learned).tolist()},
        held_out={texts[i] for i in np.flatnonzero(held_out).tolist()},
    )


def prepare(
    messages: Sequence[Message],
    config: SpamConfig,
    elsewhere: Elsewhere | None = None,
    new: Sequence[Message] = (),
) -> tuple[Splits, dict[str, Any]]:
    """Split spam messages by the configured protocol.

    Args:
        messages: the messages in the order of their source.
        config: the protocol and its settings.
        elsewhere: the texts of the corpus. The protocol "deduplicated" puts a group with a message that was
            learned in train, and leaves near duplicates of held-out text out of train.
        new: the rows of the increments (see `increments`). The protocol "deduplicated" adds them to train and
            gate; test and val are the same without them.

    Returns:
        The splits "train", "val", "test" and "gate", and a report: the protocol, the sizes of the splits, the
        leakage (see `leakage`), and reason -> number of messages dropped.

    Raises:
        BadInput: a label has no messages, the fractions leave nothing for train, more was dropped than
            `config` allows, or the groups are too large for val or test.
    """
    labels = Counter(message["label"] for message in messages)
    if not labels[HAM] or not labels[SPAM]:
        raise BadInput(
            f"the spam data has the labels {dict(labels)}; expected both ham and spam: check the source file."
        )
    if isinstance(config, BookSpamConfig):
        splits, facts = _book(messages)
    else:
        splits, facts = _deduplicated(messages, config, elsewhere, new)
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
    """Count the spam test messages whose text also occurs in train.

    Returns:
        "exact": number of test messages with the text of a training message; "normalised": the same after
        `normalise`; "share": "normalised" as a share of the test messages.
    """
    exact = {message["text"] for message in splits["train"]}
    normalised = {normalise(text) for text in exact}
    hits = sum(normalise(message["text"]) in normalised for message in splits["test"])
    return {
        "exact": sum(message["text"] in exact for message in splits["test"]),
        "normalised": hits,
        "share": hits / max(1, len(splits["test"])),
    }


def dedupe(messages: Sequence[Message]) -> tuple[list[Message], Counter[str]]:
    """Deduplicate spam data: keep the first message of every text (see `duplicates.key_of`).

    Blank texts and texts with both labels are dropped too.

    Returns:
        The messages kept, and reason -> number of messages dropped.
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
    messages: Sequence[Message],
    config: DeduplicatedSpamConfig,
    elsewhere: Elsewhere | None,
    new: Sequence[Message],
) -> tuple[Splits, dict[str, Any]]:
    held_out = config.val_fraction + config.test_fraction + config.gate_fraction
    if held_out >= 1:
        raise BadInput(
            f"spam.val_fraction + test_fraction + gate_fraction is {held_out:g}; expected less than 1, "
            f"so that train is not empty: lower one of them."
        )
    kept, dropped = dedupe(messages)
    check_loss(dropped, len(messages), "spam", config.max_dropped_share)
    texts = [message["text"] for message in kept]
    near = config.near_duplicates
    pairs = similar_pairs(texts, near.similarity, near.words) if near else ()
    groups = [kept[first]["id"] for first in near_groups(texts, pairs)]
    kept = [message | {"group": group} for message, group in zip(kept, groups, strict=True)]
    seen = {m["group"] for m in kept if elsewhere and m["text"] in elsewhere.learned}
    place = _assign(kept, seen, config)
    splits: Splits = {name: [m for m in kept if place[m["group"]] == name] for name in SPLITS}
    for name, fraction in _shares(config).items():
        if not splits[name] and fraction * len(kept) >= 1:
            raise BadInput(
                f"the {len(kept):,} messages form {len(set(groups))} groups of near duplicates, which are never "
                f"divided; expected one small enough for {name} ({fraction:.0%}): add messages of other kinds, or "
                f"raise spam.{name}_fraction."
            )
    facts: dict[str, Any] = {}
    if elsewhere:
        apart = [m["id"] for m in splits["train"] if m["text"] in elsewhere.held_out]
        splits["train"] = [m for m in splits["train"] if m["id"] not in apart]
        dropped += Counter({"in held-out text of the corpus": len(apart)})
    if new:
        learned, held = (elsewhere.learned, elsewhere.held_out) if elsewhere else (None, NearIndex(()))
        splits, facts["new"] = add(new, splits, learned, held, near)
    if config.balance == "undersample":
        before = len(splits["train"])
        splits["train"] = _undersample(splits["train"], config.seed)
        dropped["undersampled"] = before - len(splits["train"])
    return splits, facts | {"dropped": dict(dropped), "kept_in_train": sum(m["group"] in seen for m in kept)}


def _shares(config: DeduplicatedSpamConfig) -> dict[str, float]:
    """Return the shares of the splits in the order in which they are filled."""
    return {"test": config.test_fraction, "val": config.val_fraction, "gate": config.gate_fraction}


def _assign(messages: Sequence[Message], pinned: set[str], config: DeduplicatedSpamConfig) -> dict[str, str]:
    """Assign a split to each group of spam data, by the hash of its texts.

    For each label, groups in hash order fill test, then val, then gate, up to their shares. All others are
    train: the rest, `pinned` groups, and groups too large for the remaining room. A group is spam if any of its
    messages is.
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
        room = {name: round(total * share) for name, share in _shares(config).items()}
        for group in sorted((g for g in groups if g not in pinned), key=coin.__getitem__):
            for name in room:
                if len(members[group]) <= room[name]:
                    place[group] = name
                    room[name] -= len(members[group])
                    break
    return place


def _undersample(messages: Sequence[Message], seed: int) -> list[Message]:
    size = min(Counter(message["label"] for message in messages).values())
    keep: set[str] = set()
    for label in LABELS:
        ids = [message["id"] for message in messages if message["label"] == label]
        keep.update(sorted(ids, key=lambda id_: unit_hash(seed, "undersample", id_))[:size])
    return [message for message in messages if message["id"] in keep]


def _book(messages: Sequence[Message]) -> tuple[Splits, dict[str, Any]]:
    """Split as chapter 6 of the book does.

    As many hams are drawn as there are spams, and all rows are shuffled (both with `random_state=123`). The
    first 70% are train, the next 10% val, the rest test.
    """
    import pandas  # only this protocol needs its random generator

    rows = glue_as_book(messages)
    first: dict[str, str] = {}
    rows = [row | {"group": first.setdefault(normalise(row["text"]), row["id"])} for row in rows]
    frame = pandas.DataFrame({"row": range(len(rows)), "label": [row["label"] for row in rows]})
    spam = frame[frame["label"] == SPAM]
    ham = frame[frame["label"] == HAM]
    if len(ham) < len(spam):
        raise BadInput(
            f"found {len(ham)} ham and {len(spam)} spam messages; the protocol 'book' expects at least as many ham as "
            f"spam: set spam.protocol to deduplicated."
        )
    balanced = pandas.concat([ham.sample(len(spam), random_state=BOOK_SEED), spam])
    order = balanced.sample(frac=1, random_state=BOOK_SEED)["row"].tolist()
    train_end = int(len(order) * 0.7)
    val_end = train_end + int(len(order) * 0.1)
    parts = {"train": order[:train_end], "val": order[train_end:val_end], "test": order[val_end:], "gate": []}
    splits = {name: [rows[i] for i in part] for name, part in parts.items()}
    dropped = {"glued by quoting": len(messages) - len(rows), "undersampled": len(rows) - len(order)}
    return splits, {"dropped": dropped, "kept_in_train": 0}


def glue_as_book(messages: Sequence[Message]) -> list[Message]:
    """Join the three rows that the book's CSV reader reads as one; return other data unchanged.

    See BOOK_GLUED.
    """
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
