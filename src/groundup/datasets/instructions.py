"""Instruction data: deduplicate, hold whole families out, split by group, drop contaminated evaluation rows.

A row is {"id", "family", "instruction", "input", "output"}, all strings. For a conversation these are its last request
and answer, and "history" holds the messages before them (see `conversations`). The splits are lists of unchanged rows:
"train", "val" (for choosing), "test" (unseen instances of trained families), "gate" (more of these, for the decision
whether a new model serves) and "held_out" (families never trained on).
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt
from pydantic import Discriminator

from groundup.datasets.conversations import is_history, said_before
from groundup.datasets.corpus import unit_hash
from groundup.errors import BadInput
from groundup.settings import STRICT, Seed
from groundup.text.duplicates import check_loss, keep_first, key_of
from groundup.text.overlap import TextIndex

Row = dict[str, Any]
Splits = dict[str, list[Row]]
Search = Callable[[Sequence[str]], Mapping[str, str]]  # texts -> those that occur somewhere, with the kind

KEYS = ("id", "family", "instruction", "input", "output")
SPLITS = ("train", "val", "test", "gate", "held_out")
EVALUATED = SPLITS[1:]


@dataclass(frozen=True)
class DeduplicatedInstructionsConfig:
    """Instruction protocol "deduplicated": duplicates are dropped before splitting.

    Rows of one family with the same input stay together.
    """

    __pydantic_config__ = STRICT

    protocol: Literal["deduplicated"]
    val_fraction: Annotated[float, Gt(0), Lt(1)]
    """Share of each trained family for validation."""
    test_fraction: Annotated[float, Gt(0), Lt(1)]
    """Share of each trained family for the test."""
    gate_fraction: Annotated[float, Ge(0), Lt(1)]
    """Share of each trained family for the decision whether a new model serves, taken after test and validation; the
    rest is train."""
    held_out_families: tuple[str, ...]
    """Families that are only evaluated, never trained on."""
    max_dropped_share: Annotated[float, Ge(0), Le(1)]
    """Largest share of the rows read that may be dropped; above it the stage stops."""
    seed: Seed
    """Another seed gives another split."""


@dataclass(frozen=True)
class BookInstructionsConfig:
    """Instruction protocol "book": that of "Build a Large Language Model (From Scratch)", chapter 7.

    Repeated prompts are kept, and families are ignored. The first 85% of the rows are train, the next 10%
    test, the rest val; gate is empty.
    """

    __pydantic_config__ = STRICT

    protocol: Literal["book"]


InstructionsConfig = Annotated[
    DeduplicatedInstructionsConfig | BookInstructionsConfig, Discriminator("protocol")
]


def prompt_of(row: Row) -> str:
    """Return the text of an instruction row that evaluation must not share with training.

    It is all the user's messages, with the input. System messages are left out, since all rows of a dataset
    may begin with the same one.
    """
    return "\n".join(_requests(row))


def training_texts(row: Row) -> list[str]:
    """Return the texts that an instruction row shows the model in training.

    They are each prompt in it (see `prompt_of`), alone and with its answer.
    """
    texts = []
    for n, answer in enumerate([*said_before(row, "assistant"), row["output"]], start=1):
        prompt = "\n".join(_requests(row)[:n])
        texts += [prompt, f"{prompt}\n{answer}"]
    return texts


def _requests(row: Row) -> list[str]:
    return [*said_before(row, "user"), f"{row['instruction']}\n{row['input']}".strip()]


def prepare(
    rows: Sequence[Row], config: InstructionsConfig, earlier: Search | None = None
) -> tuple[Splits, dict[str, Any]]:
    """Split instruction rows by the configured protocol.

    Args:
        rows: the rows in the order of their source.
        config: the protocol and its settings.
        earlier: searches the training texts of earlier stages for prompts. An evaluation row found there or in train
            is dropped by the protocol "deduplicated", and counted as a leak by "book".

    Returns:
        The splits, and a report: the protocol, the number of rows read, reason -> number dropped, reason ->
        number of leaks, and the sizes of each split and of its families.

    Raises:
        BadInput: there are no rows, a row lacks a text or has an invalid history, a held-out family is
            unknown, the fractions leave nothing for train, a split is empty, or more was dropped than
            `config` allows.
    """
    _require(rows)
    if isinstance(config, BookInstructionsConfig):
        splits = _book(rows)
        dropped, leaks = Counter[str](), _contaminated(splits, earlier)[1]
    else:
        _require_fitting(rows, config)
        kept, dropped = dedupe(rows)
        splits = _split(kept, config)
        splits, found = _contaminated(splits, earlier)
        dropped += found
        check_loss(dropped, len(rows), "instructions", config.max_dropped_share)
        leaks = Counter[str]()
    empty = [name for name in SPLITS[:3] if not splits[name]]
    if empty:
        raise BadInput(
            f"{len(rows)} instruction rows leave nothing for {' and '.join(empty)}; expected at least one row in each: "
            f"add rows, or raise instructions.val_fraction and instructions.test_fraction (protocol deduplicated)."
        )
    report = {
        "protocol": config.protocol,
        "read": len(rows),
        "dropped": dict(dropped),
        "leaks": dict(leaks),
        "splits": {
            name: {"rows": len(part), "families": dict(Counter(row["family"] for row in part))}
            for name, part in splits.items()
        },
    }
    return splits, report


def dedupe(rows: Sequence[Row]) -> tuple[list[Row], Counter[str]]:
    """Deduplicate instruction rows: keep the first row of every prompt (see `duplicates.key_of`).

    Rows without an instruction or an output are dropped too.

    Returns:
        The rows kept, and reason -> number of rows dropped.
    """
    whole = [row for row in rows if row["instruction"].strip() and row["output"].strip()]
    kept, reasons = keep_first(whole, prompt_of)
    if len(whole) < len(rows):
        reasons["blank instructions or outputs"] = len(rows) - len(whole)
    return kept, reasons


def _require(rows: Sequence[Row]) -> None:
    if not rows:
        raise BadInput(
            "the instruction data has no rows; expected at least one: check the file or run download again."
        )
    for number, row in enumerate(rows, start=1):
        wrong = [key for key in KEYS if not isinstance(row.get(key), str)]
        if wrong:
            raise BadInput(
                f"instruction row {number} has no text under {', '.join(wrong)}; expected the keys {', '.join(KEYS)}, "
                f"each with a string: correct the row."
            )
        if not is_history(row.get("history", [])):
            raise BadInput(
                f"instruction row {number} has an invalid history; expected an optional system message, then user and "
                f"assistant in turn, with the assistant last: correct the row."
            )


def _require_fitting(rows: Sequence[Row], config: DeduplicatedInstructionsConfig) -> None:
    families = sorted({row["family"] for row in rows})
    unknown = sorted(set(config.held_out_families) - set(families))
    if unknown:
        raise BadInput(
            f"instructions.held_out_families names {', '.join(unknown)}; expected some of {', '.join(families)}: "
            f"correct the name."
        )
    held_out = config.val_fraction + config.test_fraction + config.gate_fraction
    if held_out >= 1:
        raise BadInput(
            f"instructions.val_fraction + test_fraction + gate_fraction is {held_out:g}; expected less than 1, so that "
            f"train is not empty: lower one of them."
        )


def _split(rows: Sequence[Row], config: DeduplicatedInstructionsConfig) -> Splits:
    """Split the rows of each family: groups in hash order fill test, then val, then gate, up to their shares.

    The other rows are train. A group is the rows of a family with the same input (or the same instruction, if
    there is no input), so that paraphrases of a request are in one split; conversations are grouped by the
    user's first message. The order of groups depends only on their text and the seed. Rows are shuffled, so
    that the first rows of a split are a sample of all families.
    """
    members: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        members[_group(row)].append(row)
    shares = {"test": config.test_fraction, "val": config.val_fraction, "gate": config.gate_fraction}
    room = {
        family: {name: round(size * share) for name, share in shares.items()}
        for family, size in Counter(row["family"] for row in rows).items()
    }
    place: dict[tuple[str, str], str] = {}
    for group in sorted(members, key=lambda group: unit_hash(config.seed, "instructions", "\n".join(group))):
        family, size = group[0], len(members[group])
        if family in config.held_out_families:
            place[group] = "held_out"
            continue
        place[group] = next((name for name in shares if size <= room[family][name]), "train")
        if place[group] != "train":
            room[family][place[group]] -= size
    mixed = sorted(
        rows, key=lambda row: unit_hash(config.seed, "order", f"{row['family']}\n{prompt_of(row)}")
    )
    return {name: [row for row in mixed if place[_group(row)] == name] for name in SPLITS}


def _group(row: Row) -> tuple[str, str]:
    opening = "".join(said_before(row, "user")[:1]) or row["input"]
    return row["family"], key_of(opening) or key_of(row["instruction"])


def _contaminated(splits: Splits, earlier: Search | None) -> tuple[Splits, Counter[str]]:
    """Remove evaluation rows found in train or `earlier`; also return "<split>: <kind> in <where>" -> count.

    The rows of the other splits are searched for in gate too: their number then does not depend on its size.
    """
    reasons = Counter[str]()
    train, more = (
        [text for row in splits[name] for text in training_texts(row)] for name in ("train", "gate")
    )
    learned = TextIndex(train, keep_digits=True)
    both = TextIndex([*train, *more], keep_digits=True) if more else learned
    prompts = [prompt_of(row) for name in EVALUATED for row in splits[name]]
    found_earlier = earlier(prompts) if earlier else {}
    clean: Splits = {"train": splits["train"]}
    for name in EVALUATED:
        clean[name] = []
        known = learned if name == "gate" else both
        for row in splits[name]:
            prompt = prompt_of(row)
            if hit := known.find(prompt):
                reasons[f"{name}: {hit.kind} in instruction training"] += 1
            elif kind := found_earlier.get(prompt):
                reasons[f"{name}: {kind} in earlier training"] += 1
            else:
                clean[name].append(row)
    return clean, reasons


def _book(rows: Sequence[Row]) -> Splits:
    """Split as chapter 7 of the book does: `int(n * 0.85)` rows are train, the next `int(n * 0.1)` test.

    The rest is val.
    """
    train_end = int(len(rows) * 0.85)
    test_end = train_end + int(len(rows) * 0.1)
    return {
        "train": list(rows[:train_end]),
        "val": list(rows[test_end:]),
        "test": list(rows[train_end:test_end]),
        "gate": [],
        "held_out": [],
    }
