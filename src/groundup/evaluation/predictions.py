"""What the classifier of every seed thinks of every message, as CSV: written by finetuning, read by the evaluation.

Legend: S seeds, n test messages.
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from groundup.errors import BadInput
from groundup.files import atomic_path

Row = Mapping[str, Any]
COLUMNS = ("seed", "split", "id", "label", "spam_probability")


def write_predictions(
    path: Path, splits: Mapping[str, Sequence[Row]], found: Mapping[tuple[int, str], Sequence[float]]
) -> None:
    """Write a row for each message, atomically: found[seed, split][i] is the probability of splits[split][i]."""
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for (seed, split), probabilities in found.items():
            for row, p in zip(splits[split], probabilities, strict=True):
                writer.writerow((seed, split, row["id"], row["label"], f"{p:.6f}"))


def read_predictions(path: Path, test: Sequence[Row]) -> tuple[tuple[int, ...], npt.NDArray[np.float64]]:
    """Read the test split: (seeds in order (S,), probability of spam of each test row (S, n)).

    Raises:
        BadInput: a column is missing, or a seed has not exactly the test rows: the file is of another split.
    """
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        missing = set(COLUMNS) - set(reader.fieldnames or ())
        if missing:
            raise BadInput(
                f"{path} lacks the columns {sorted(missing)}; expected {', '.join(COLUMNS)}; finetune again."
            )
        found: dict[int, dict[str, float]] = {}
        for row in reader:
            if row["split"] == "test":
                found.setdefault(int(row["seed"]), {})[row["id"]] = float(row["spam_probability"])
    ids = [row["id"] for row in test]
    for seed, answers in found.items():
        if set(answers) != set(ids):
            raise BadInput(
                f"{path}: seed {seed} has answers to {len(answers)} test messages, "
                f"{len(set(answers) & set(ids))} of them among the {len(ids)} of the split; "
                f"expected exactly these; finetune again."
            )
    if not found:
        raise BadInput(
            f"{path} has no row of the test split; expected one a seed and message; finetune again."
        )
    seeds = tuple(sorted(found))
    return seeds, np.array([[found[seed][id_] for id_ in ids] for seed in seeds])
