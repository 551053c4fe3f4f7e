"""Pairs of answers to the same request: made from verifiable tasks, or taken from a dataset of pairs.

A pair is {"id", "family", "instruction", "input", "chosen", "rejected"}, all strings.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt

from groundup.datasets.catalogue import Dataset
from groundup.datasets.corpus import unit_hash
from groundup.datasets.instructions import prompt_of
from groundup.datasets.subsets import sample_families
from groundup.errors import BadInput
from groundup.settings import STRICT
from groundup.text.duplicates import check_loss, keep_first, key_of
from groundup.verifiable.answers import check_for
from groundup.verifiable.exact_match import Check

Row = Mapping[str, Any]  # id, family, instruction, input, output
Pair = dict[str, Any]
Splits = dict[str, list[Pair]]  # "train", "val"
# from rows by split, and a largest number of tokens, to answers by split
Answer = Callable[[Mapping[str, Sequence[Row]], int], Mapping[str, Sequence[str]]]

KEYS = ("id", "family", "instruction", "input", "chosen", "rejected")


@dataclass(frozen=True)
class PairsConfig:
    """Where the pairs come from, and how they are split.

    source: "mistakes", the right answer to a verifiable instruction and the model's own, if that is wrong;
        "verifiable", the right answer and another instruction's; or "dataset", pairs that people judged.
    dataset: of source "dataset": one of the catalogue with the role preferences.
    seed: another seed is another choice of instructions and of wrong answers, or another split.
    val_fraction: share of a dataset's pairs; otherwise of val so many times `instructions` are taken.
    instructions: so many of train are taken, every family in its proportion.
    max_new_tokens: of the model's answer; what is cut off there counts as its answer.
    max_dropped_share: the largest share of a dataset's pairs that may be dropped; above it the stage stops.
    """

    __pydantic_config__ = STRICT

    source: Literal["mistakes", "verifiable", "dataset"]
    dataset: str
    seed: int
    val_fraction: Annotated[float, Gt(0), Lt(1)]
    instructions: Annotated[int, Ge(1)]
    max_new_tokens: Annotated[int, Ge(1)]
    max_dropped_share: Annotated[float, Ge(0), Le(1)]


def pairs_of_tasks(
    instructions: Mapping[str, Sequence[Row]], config: PairsConfig, answer: Answer
) -> tuple[Splits, dict[str, Any]]:
    """Pairs made from instructions as "train" and "val", and a report of how they were made.

    Args:
        instructions: all rows of both splits; `config` says how many of them are taken.
        answer: the model's answers to rows, by split; asked only where its mistakes are wanted.

    Raises:
        BadInput: too few instructions for every family, or a split without a pair.
    """
    assert config.source != "dataset"
    checks = {name: check_for(part) for name, part in instructions.items()}
    rows = _sample(instructions, config)
    if config.source == "mistakes":
        answers, reason = answer(rows, config.max_new_tokens), "answered right"
        splits = {name: with_mistakes(rows[name], answers[name], checks[name]) for name in rows}
    else:
        reason = "every answer right"
        splits = {name: with_wrong_answers(rows[name], checks[name], config.seed) for name in rows}
    for name, part in splits.items():
        if not part:
            raise BadInput(
                f"preferences.source {config.source}: none of the {len(rows[name])} instructions of {name} "
                f"gives a pair ({reason}); raise preferences.instructions or preferences.val_fraction."
            )
    read = sum(map(len, rows.values()))
    dropped = Counter({reason: read - sum(map(len, splits.values()))})
    return splits, _report(config.source, read, dropped, splits)


def pairs_of_dataset(
    pairs: Sequence[Row], config: PairsConfig, evaluated: Iterable[Row]
) -> tuple[Splits, dict[str, Any]]:
    """The pairs of a dataset as "train" and "val", and a report of how they were split; see `split_pairs`."""
    assert config.source == "dataset"
    splits, dropped = split_pairs(pairs, config, evaluated)
    return splits, _report(config.dataset, len(pairs), dropped, splits)


def _sample(rows: Mapping[str, Sequence[Row]], config: PairsConfig) -> dict[str, list[Row]]:
    """Some instructions of each split, every family in its proportion."""
    assert config.source != "dataset"
    sizes = {"train": config.instructions, "val": round(config.instructions * config.val_fraction)}
    found = {}
    for name, part in rows.items():
        try:
            found[name] = sample_families(part, min(sizes[name], len(part)), config.seed)
        except BadInput as error:
            raise BadInput(
                f"preferences.instructions is {config.instructions} and val_fraction {config.val_fraction}, which is "
                f"too few for {name}: {error}"
            ) from error
    return found


def _report(source: str, read: int, dropped: Counter[str], splits: Splits) -> dict[str, Any]:
    return {
        "source": source,
        "read": read,
        "dropped": dict(+dropped),
        "splits": {
            name: {"rows": len(part), "families": dict(Counter(pair["family"] for pair in part))}
            for name, part in splits.items()
        },
    }


def with_wrong_answers(rows: Sequence[Row], check: Check, seed: int) -> list[Pair]:
    """Pairs of rows of verifiable tasks: chosen is their output, rejected another row's output that is wrong here.

    Right and wrong answers are of one kind (the same family), so that only what they say tells them apart. A row
    to which every other answer of its family would be right is left out.
    """
    outputs: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        outputs[row["family"]].add(row["output"])
    found = []
    for row in rows:
        others = sorted(outputs[row["family"]])
        random.Random(f"{seed} {row['id']}").shuffle(others)
        request = (row["family"], row["instruction"], row["input"])
        wrong = next((other for other in others if not check(*request, other)), None)
        if wrong is not None:
            asked = {key: value for key, value in row.items() if key != "output"}
            found.append({**asked, "chosen": row["output"], "rejected": wrong})
    return found


def with_mistakes(rows: Sequence[Row], answers: Sequence[str], check: Check) -> list[Pair]:
    """Pairs of the rows that a model answered wrongly: chosen is their output, rejected the model's answer.

    As in Pang et al. 2024 (https://arxiv.org/abs/2404.19733, section 2) what is rejected is said by the model itself,
    not an error that it would hardly make.
    """
    return [
        {
            **{key: value for key, value in row.items() if key != "output"},
            "chosen": row["output"],
            "rejected": answer,
        }
        for row, answer in zip(rows, answers, strict=True)
        if not check(row["family"], row["instruction"], row["input"], answer)
    ]


def preferences_named(name: str, catalogue: Mapping[str, Dataset]) -> Dataset:
    """The dataset of preferences of that name; BadInput where the catalogue has none."""
    fitting = sorted(other for other, dataset in catalogue.items() if dataset.role == "preferences")
    if name not in fitting:
        found = f"has role {catalogue[name].role}" if name in catalogue else "is not in the catalogue"
        raise BadInput(
            f"preferences.dataset: '{name}' {found}; choose one with the role preferences: {', '.join(fitting)}."
        )
    return catalogue[name]


def split_pairs(
    rows: Sequence[Row], config: PairsConfig, evaluated: Iterable[Row] = ()
) -> tuple[Splits, Counter[str]]:
    """The pairs of a dataset as "train" and "val", and why how many were dropped.

    Dropped are pairs of equal answers, which say nothing (6 of the book's 1,100), repeated pairs, and those that ask
    what one of the rows `evaluated` asks. Requests with the same input (the same instruction, where there is no
    input) lie in one split; which one depends on nothing but them and the seed.

    Raises:
        BadInput: a row without text under a key, a split left empty, or more dropped than `config` allows.
    """
    _require(rows, config)
    told_apart = [row for row in rows if row["chosen"].strip() != row["rejected"].strip()]
    kept, dropped = keep_first([{key: row[key] for key in KEYS} for row in told_apart], _text)
    if len(told_apart) < len(rows):
        dropped["equal answers"] = len(rows) - len(told_apart)
    asked = {key_of(prompt_of(dict(row))) for row in evaluated}
    pairs = [pair for pair in kept if key_of(prompt_of(pair)) not in asked]
    if len(pairs) < len(kept):
        dropped["asked in the evaluation"] = len(kept) - len(pairs)
    check_loss(dropped, len(rows), "preferences", config.max_dropped_share)

    sizes, room, val = Counter(map(_group, pairs)), round(len(pairs) * config.val_fraction), set[str]()
    for group in sorted(sizes, key=lambda group: unit_hash(config.seed, "preferences", group)):
        if sizes[group] <= room:
            val.add(group)
            room -= sizes[group]
    splits: Splits = {
        "train": [pair for pair in pairs if _group(pair) not in val],
        "val": [pair for pair in pairs if _group(pair) in val],
    }
    empty = [name for name, part in splits.items() if not part]
    if empty:
        raise BadInput(
            f"{config.dataset}: {len(pairs)} pairs to split leave nothing for {' and '.join(empty)}; expected at least "
            f"one in each; add pairs, or change preferences.val_fraction."
        )
    return splits, dropped


def _require(rows: Sequence[Row], config: PairsConfig) -> None:
    for number, row in enumerate(rows, start=1):
        wrong = [key for key in KEYS if not isinstance(row.get(key), str)]
        wrong += [key for key in ("instruction", "chosen", "rejected") if not wrong and not row[key].strip()]
        if wrong:
            raise BadInput(
                f"{config.dataset}, row {number}: no text under {', '.join(wrong)}; expected the keys "
                f"{', '.join(KEYS)}, each with a string, of which only input may be empty; correct or remove the row."
            )


def _text(pair: Pair) -> str:
    return "\n".join((prompt_of(pair), pair["chosen"], pair["rejected"]))


def _group(pair: Pair) -> str:
    return key_of(pair["input"]) or key_of(pair["instruction"])
