"""Preference pairs: two answers to one request, made from verifiable tasks or taken from a dataset of pairs.

A pair is {"id", "family", "instruction", "input", "chosen", "rejected"}, all strings.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt
from pydantic import Discriminator

from groundup.datasets.catalogue import Dataset
from groundup.datasets.corpus import unit_hash
from groundup.datasets.instructions import prompt_of
from groundup.datasets.mixtures import sample_families
from groundup.errors import BadInput
from groundup.settings import STRICT, Seed
from groundup.text.duplicates import check_loss, keep_first, key_of
from groundup.verifiable.answers import check_for
from groundup.verifiable.exact_match import Check

Row = Mapping[str, Any]  # id, family, instruction, input, output
Pair = dict[str, Any]
Splits = dict[str, list[Pair]]  # "train", "val"
# (split -> rows, largest number of new tokens) -> (split -> one answer per row)
Answer = Callable[[Mapping[str, Sequence[Row]], int], Mapping[str, Sequence[str]]]

KEYS = ("id", "family", "instruction", "input", "chosen", "rejected")


@dataclass(frozen=True)
class MistakesConfig:
    """Preference pairs from verifiable tasks: the right answer and a wrong one of the finetuned model."""

    __pydantic_config__ = STRICT

    source: Literal["mistakes"]
    seed: Seed
    """Another seed gives another choice of instructions."""
    val_fraction: Annotated[float, Gt(0), Lt(1)]
    """Number of instructions taken from val, as a share of `instructions`."""
    instructions: Annotated[int, Ge(1)]
    """Number of instructions taken from train, in proportion to the size of each family."""
    max_new_tokens: Annotated[int, Ge(1)]
    """Most tokens of an answer of the finetuned model; a longer answer is cut off there and graded."""


@dataclass(frozen=True)
class VerifiableConfig:
    """Preference pairs from verifiable tasks: the right answer, and the answer to another task."""

    __pydantic_config__ = STRICT

    source: Literal["verifiable"]
    seed: Seed
    """Another seed gives another choice of instructions and of wrong answers."""
    val_fraction: Annotated[float, Gt(0), Lt(1)]
    """Number of instructions taken from val, as a share of `instructions`."""
    instructions: Annotated[int, Ge(1)]
    """Number of instructions taken from train, in proportion to the size of each family."""


@dataclass(frozen=True)
class JudgedPairsConfig:
    """Preference pairs from a dataset of the catalogue."""

    __pydantic_config__ = STRICT

    source: Literal["dataset"]
    dataset: str
    """A dataset of the catalogue with the role preferences, such as instruction_preferences."""
    seed: Seed
    """Another seed gives another split."""
    val_fraction: Annotated[float, Gt(0), Lt(1)]
    """Share of the pairs for validation."""
    max_dropped_share: Annotated[float, Ge(0), Le(1)]
    """Largest share of the pairs that may be dropped; above it the stage stops."""


PairsConfig = Annotated[MistakesConfig | VerifiableConfig | JudgedPairsConfig, Discriminator("source")]


def pairs_of_tasks(
    instructions: Mapping[str, Sequence[Row]], config: MistakesConfig | VerifiableConfig, answer: Answer
) -> tuple[Splits, dict[str, Any]]:
    """Make preference pairs from instructions that a program can grade.

    Args:
        instructions: "train" and "val" -> all rows of the split.
        config: the number of instructions to use, and the source of the wrong answers.
        answer: returns the model's answers to rows, by split; called only for `MistakesConfig`.

    Returns:
        The pairs of "train" and "val", and a report of how they were made.

    Raises:
        BadInput: so few instructions are configured that a family would have none, or a split has no pair.
    """
    checks = {name: check_for(part) for name, part in instructions.items()}
    rows = _sample(instructions, config)
    if isinstance(config, MistakesConfig):
        answers, reason = answer(rows, config.max_new_tokens), "answered right"
        splits = {name: with_mistakes(rows[name], answers[name], checks[name]) for name in rows}
    else:
        reason = "every answer right"
        splits = {name: with_wrong_answers(rows[name], checks[name], config.seed) for name in rows}
    for name, part in splits.items():
        if not part:
            raise BadInput(
                f"preferences.source {config.source}: none of the {len(rows[name])} instructions of {name} "
                f"gives a pair ({reason}); expected at least one: raise preferences.instructions or "
                f"preferences.val_fraction."
            )
    read = sum(map(len, rows.values()))
    dropped = Counter({reason: read - sum(map(len, splits.values()))})
    return splits, _report(config.source, read, dropped, splits)


def pairs_of_dataset(
    pairs: Sequence[Row], config: JudgedPairsConfig, evaluated: Iterable[Row]
) -> tuple[Splits, dict[str, Any]]:
    """Split the preference pairs of a dataset; see `split_pairs`.

    Returns:
        The pairs of "train" and "val", and a report of how they were split.

    Raises:
        BadInput: as `split_pairs` does.
    """
    splits, dropped = split_pairs(pairs, config, evaluated)
    return splits, _report(config.dataset, len(pairs), dropped, splits)


def _sample(
    rows: Mapping[str, Sequence[Row]], config: MistakesConfig | VerifiableConfig
) -> dict[str, list[Row]]:
    """Sample the configured number of instructions of each split, each family in its proportion."""
    sizes = {"train": config.instructions, "val": round(config.instructions * config.val_fraction)}
    found = {}
    for name, part in rows.items():
        try:
            found[name] = sample_families(part, min(sizes[name], len(part)), config.seed)
        except BadInput as error:
            raise BadInput(
                f"preferences.instructions {config.instructions} with preferences.val_fraction {config.val_fraction} "
                f"gives too few instructions for {name}: {error}"
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
    """Make preference pairs from rows of verifiable tasks, with the output of another row as rejected answer.

    Both answers are from the same family, so they differ only in content. A row gets no pair if every output
    of its family would be a right answer to it.

    Returns:
        One pair per row: the row with "chosen" (its output) and "rejected" instead of "output".
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
    """Make one preference pair per row that a model answered wrongly; its answer is the rejected one.

    As in Pang et al. 2024 (https://arxiv.org/abs/2404.19733, section 2), the rejected answer is the model's
    own, not an error that it is unlikely to make.

    Returns:
        The pairs: the rows with "chosen" (the output) and "rejected" (the model's answer) instead of
        "output".
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
    """Return the dataset of preferences with that name.

    Raises:
        BadInput: the catalogue has no dataset of that name, or it has another role.
    """
    fitting = sorted(other for other, dataset in catalogue.items() if dataset.role == "preferences")
    if name not in fitting:
        found = f"has the role {catalogue[name].role}" if name in catalogue else "is not in the catalogue"
        raise BadInput(
            f"preferences.dataset: '{name}' {found}; expected a dataset with the role preferences: choose one of "
            f"{', '.join(fitting)}."
        )
    return catalogue[name]


def split_pairs(
    rows: Sequence[Row], config: JudgedPairsConfig, evaluated: Iterable[Row] = ()
) -> tuple[Splits, Counter[str]]:
    """Split the preference pairs of a dataset into "train" and "val".

    Three kinds of pairs are dropped: pairs of equal answers (6 of the book's 1,100), repeated pairs, and
    pairs whose request is evaluated. Pairs with the same input (or the same instruction, if there is no
    input) form a group, which goes to one split as a whole. Groups fill val up to its share, in an order that
    depends only on their text and the seed.

    Args:
        rows: the pairs of the dataset.
        config: the fractions, the limit of dropped pairs, and the seed.
        evaluated: the instruction rows whose requests no pair may have.

    Returns:
        The splits, and reason -> number of pairs dropped.

    Raises:
        BadInput: a row has no text under a key, a split is empty, or more was dropped than `config` allows.
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
            f"{config.dataset}: {len(pairs)} pairs leave nothing for {' and '.join(empty)}; expected at least "
            f"one in each: add pairs, or change preferences.val_fraction."
        )
    return splits, dropped


def _require(rows: Sequence[Row], config: JudgedPairsConfig) -> None:
    for number, row in enumerate(rows, start=1):
        wrong = [key for key in KEYS if not isinstance(row.get(key), str)]
        wrong += [key for key in ("instruction", "chosen", "rejected") if not wrong and not row[key].strip()]
        if wrong:
            raise BadInput(
                f"{config.dataset}, row {number}: no text under {', '.join(wrong)}; expected the keys "
                f"{', '.join(KEYS)}, each with a string, of which only input may be empty: correct or remove the row."
            )


def _text(pair: Pair) -> str:
    return "\n".join((prompt_of(pair), pair["chosen"], pair["rejected"]))


def _group(pair: Pair) -> str:
    return key_of(pair["input"]) or key_of(pair["instruction"])
