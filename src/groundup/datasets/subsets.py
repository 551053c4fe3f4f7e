"""Few examples out of many, so that more and more of them can be compared."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from groundup.errors import BadInput

Row = TypeVar("Row", bound=Mapping[str, Any])


def nested_subset(labels: Sequence[Hashable], size: int | None, seed: int) -> list[int]:
    """Numbers of `size` examples, each label in its proportion; None = all. Of one seed, smaller ones lie in larger.

    The examples of each label are shuffled and spread evenly over [0, 1); those that come first are taken.

    Raises:
        BadInput: fewer examples than asked for, or so few asked for that a label would be missing.
    """
    size = len(labels) if size is None else size
    if size > len(labels):
        raise BadInput(
            f"a subset of {size} examples was asked for; there are {len(labels)}: lower the size or say null for all."
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
            f"a subset of {size} of {len(labels)} examples has none of {sorted(map(str, missing))}; raise the size."
        )
    return sorted(chosen)


def sample_families(rows: Sequence[Row], size: int | None, seed: int) -> list[Row]:
    """`size` of the rows, each family in its proportion and in the order of `rows`; None = all; see `nested_subset`."""
    return [rows[i] for i in nested_subset([row["family"] for row in rows], size, seed)]
