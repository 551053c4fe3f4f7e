"""Nested subsets of a dataset, to compare training on fewer and on more examples."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from groundup.errors import BadInput

Row = TypeVar("Row", bound=Mapping[str, Any])


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
