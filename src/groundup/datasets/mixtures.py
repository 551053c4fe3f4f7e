"""Mixtures of several datasets for one role, and nested subsets of one dataset.

A weight is the share of a dataset in the rows of the mixture, relative to the other weights. No row is used twice, and
the mixture is the largest one with these shares. Without weights, every row of every dataset is used.
"""

import json
import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import numpy as np
from annotated_types import Gt, Le

from groundup.datasets.corpus import unit_hash
from groundup.errors import BadInput
from groundup.settings import STRICT
from groundup.text.jsonl import iterate_jsonl, write_jsonl

if TYPE_CHECKING:
    from groundup.datasets.catalogue import Expect

Row = TypeVar("Row", bound=Mapping[str, Any])


@dataclass(frozen=True)
class Source:
    """One of several datasets for a role."""

    dataset: str
    """A dataset of the catalogue with the role."""
    weight: Annotated[float, Gt(0), Le(1e9)] | None = None
    """Its share of the rows, relative to the other weights. Left out for all datasets, all of their rows are used."""

    __pydantic_config__ = STRICT


def check_sources(role: str, sources: Sequence[Source]) -> None:
    """Check that datasets can be mixed.

    Raises:
        BadInput: there is none, one is named twice, or only some have a weight.
    """
    names = [source.dataset for source in sources]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or not names:
        found = f"names {', '.join(twice)} twice" if twice else "names no dataset"
        raise BadInput(f"data.{role} {found}; expected each dataset once, because no row is used twice.")
    without = [source.dataset for source in sources if source.weight is None]
    if without and len(without) < len(sources):
        raise BadInput(
            f"data.{role} has no weight for {', '.join(without)}; expected one for all of its datasets or for none."
        )


def row_counts(sizes: Mapping[str, int], weights: Mapping[str, float]) -> dict[str, int]:
    """Return how many rows of each dataset a mixture has.

    With the weights w and their sum s, the mixture has n rows, the largest number with n * w / s <= size for every
    dataset. Each dataset has n * w / s rows, rounded down; the rows that are then missing come one each from the
    datasets with the largest remainders, the earlier one at a tie. The arithmetic is exact, with weights as they are
    written (0.1 is a tenth).

    Raises:
        BadInput: a dataset would have no row.
    """
    exact = {name: Fraction(repr(weight)) for name, weight in weights.items()}
    total = sum(exact.values())
    n = min(math.floor(sizes[name] * total / weight) for name, weight in exact.items())
    shares = {name: n * weight / total for name, weight in exact.items()}
    counts = {name: math.floor(share) for name, share in shares.items()}
    # the sort is stable: at a tie, the earlier dataset comes first
    remainders = sorted(shares, key=lambda name: counts[name] - shares[name])
    for name in remainders[: n - sum(counts.values())]:
        counts[name] += 1
    if empty := [name for name, count in counts.items() if not count]:
        raise BadInput(
            f"with these weights, {n:,} rows can be mixed without repeating one, and {', '.join(empty)} has none of "
            f"them; expected at least one row of each dataset: raise its weight, or leave it out."
        )
    return counts


def mix(files: Mapping[str, Path], weights: Mapping[str, float] | None, out: Path) -> dict[str, int]:
    """Write the rows of several datasets to one file, and return how many are of each.

    The datasets follow each other, their rows in their order, with ids "dataset/id". Which rows of a dataset are used
    depends only on its name and their content: those with the smallest hashes, so that a smaller number of rows is part
    of a larger one.

    Args:
        files: name of a dataset -> its file of rows.
        weights: name of a dataset -> weight; None uses all rows.
        out: the file to write.

    Raises:
        BadInput: as `row_counts` does, or a file is not JSON Lines.
    """
    coins = {name: [_coin(name, row) for row in iterate_jsonl(file)] for name, file in files.items()}
    counts = {name: len(part) for name, part in coins.items()}
    if weights is not None:
        counts = row_counts(counts, weights)

    def rows() -> Iterator[dict[str, Any]]:
        for name, file in files.items():
            order = sorted(range(len(coins[name])), key=coins[name].__getitem__)
            chosen = set(order[: counts[name]])
            for number, row in enumerate(iterate_jsonl(file)):
                if number in chosen:
                    yield row | {"id": f"{name}/{row['id']}"} if "id" in row else row

    write_jsonl(out, rows())
    return counts


def _coin(name: str, row: Mapping[str, Any]) -> float:
    return unit_hash(0, f"mixture {name}", json.dumps(row, ensure_ascii=False))


def mixed_limits(limits: Sequence["Expect"], weighted: bool) -> "Expect":
    """Return what may be expected of a mixture, given what is expected of its datasets.

    The limits on shares and on families hold for whole datasets only, so a weighted mixture has none.
    """
    from groundup.datasets.catalogue import Expect

    families = [limit.families for limit in limits if limit.families]
    shares = [limit.spam_share for limit in limits if limit.spam_share]
    every = not weighted
    return Expect(
        rows=(sum(limit.rows[0] for limit in limits) if every else 1, sum(limit.rows[1] for limit in limits)),
        text_chars=(
            min(limit.text_chars[0] for limit in limits),
            max(limit.text_chars[1] for limit in limits),
        ),
        duplicate_share=max(limit.duplicate_share for limit in limits),
        spam_share=(min(low for low, _ in shares), max(high for _, high in shares))
        if every and len(shares) == len(limits)
        else None,
        families=(max(low for low, _ in families), sum(high for _, high in families))
        if every and len(families) == len(limits)
        else None,
    )


def nested_subset(labels: Sequence[Hashable], size: int | None, seed: int) -> list[int]:
    """Return the sorted indices of `size` examples, stratified by label; None means all.

    With the same seed, a smaller subset is part of a larger one. The examples of each label are shuffled and
    placed at even distances in [0, 1); the `size` examples with the lowest places are chosen.

    Raises:
        BadInput: there are fewer than `size` examples, or `size` is so small that a label would be missing.
    """
    size = len(labels) if size is None else size
    if size > len(labels):
        raise BadInput(
            f"there are {len(labels)} examples; expected at least {size}, the size of a subset: lower the size, or use "
            f"null for all."
        )
    place = np.empty(len(labels))
    rng = np.random.default_rng(seed)
    for label in dict.fromkeys(labels):
        members = np.array([number for number, other in enumerate(labels) if other == label])
        place[rng.permutation(members)] = (np.arange(len(members)) + 0.5) / len(members)
    chosen = np.argsort(place, kind="stable")[:size].tolist()
    missing = set(labels) - {labels[i] for i in chosen}
    if missing:
        raise BadInput(
            f"a subset of {size} of {len(labels)} examples has none of the labels {sorted(map(str, missing))}; "
            f"expected all labels: raise the size."
        )
    return sorted(chosen)


def sample_families(rows: Sequence[Row], size: int | None, seed: int) -> list[Row]:
    """Sample `size` instruction rows, each family in its proportion, and keep their order; None means all.

    Raises:
        BadInput: as `nested_subset` does, with families as labels.
    """
    return [rows[i] for i in nested_subset([row["family"] for row in rows], size, seed)]
