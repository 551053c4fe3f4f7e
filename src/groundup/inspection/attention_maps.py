"""Attention maps and their file.

A map shows how much each token of a text attends to each token of the same or another text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from groundup.files import atomic_path


@dataclass(frozen=True)
class AttentionMap:
    """An attention map: how much each of T tokens (rows) attends to each of S tokens (columns).

    Attributes:
        rows: the T tokens.
        columns: the S tokens.
        weights: (T, S), or (H, T, S) for H heads; each row sums to 1. Or (T, S) booleans: True where any
            weight is above 0.
    """

    rows: Sequence[str]
    columns: Sequence[str]
    weights: npt.NDArray[Any]


def save_maps(path: Path, maps: Mapping[str, AttentionMap]) -> None:
    """Write named attention maps into one .npz file, atomically; equal maps give equal bytes."""
    arrays: dict[str, npt.NDArray[Any]] = {}
    for name, one in maps.items():
        arrays |= {f"{name}/rows": np.array(one.rows, str), f"{name}/columns": np.array(one.columns, str)}
        arrays[f"{name}/weights"] = one.weights
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def load_maps(path: Path) -> dict[str, AttentionMap]:
    """Read the attention maps that `save_maps` wrote, in the same order."""
    with np.load(path) as arrays:
        names = dict.fromkeys(key.rpartition("/")[0] for key in arrays.files)
        return {
            name: AttentionMap(
                arrays[f"{name}/rows"].tolist(), arrays[f"{name}/columns"].tolist(), arrays[f"{name}/weights"]
            )
            for name in names
        }
