"""Predictions of spam classifiers and baselines as CSV files, for the spam table and its plots.

Legend: S seeds, n test messages.
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from groundup.errors import BadInput
from groundup.evaluation.baselines import Predictions
from groundup.files import atomic_path

Row = Mapping[str, Any]
COLUMNS = ("seed", "split", "id", "label", "spam_probability")
BASELINE_COLUMNS = ("baseline", "id", "called_spam", "ranking", "spam_probability")


def write_predictions(
    path: Path, splits: Mapping[str, Sequence[Row]], found: Mapping[tuple[int, str], Sequence[float]]
) -> None:
    """Write the predictions of spam classifiers, one row per seed and message, atomically.

    Args:
        path: the CSV file.
        splits: name -> its messages.
        found: (seed, split) -> the probability of spam of each message of the split.
    """
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for (seed, split), probabilities in found.items():
            for row, p in zip(splits[split], probabilities, strict=True):
                writer.writerow((seed, split, row["id"], row["label"], f"{p:.6f}"))


def read_predictions(path: Path, test: Sequence[Row]) -> tuple[tuple[int, ...], npt.NDArray[np.float64]]:
    """Read the predictions of spam classifiers on the test split.

    Args:
        path: the CSV file.
        test: the messages of the test split.

    Returns:
        The seeds in ascending order (S,), and the probability of spam of each message (S, n).

    Raises:
        BadInput: a column is missing, or the rows of a seed are not exactly those of the test split.
    """
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        missing = set(COLUMNS) - set(reader.fieldnames or ())
        if missing:
            raise BadInput(
                f"{path} lacks the columns {sorted(missing)}; expected {', '.join(COLUMNS)}: finetune again."
            )
        found: dict[int, dict[str, float]] = {}
        for row in reader:
            if row["split"] == "test":
                found.setdefault(int(row["seed"]), {})[row["id"]] = float(row["spam_probability"])
    ids = [row["id"] for row in test]
    for seed, answers in found.items():
        if set(answers) != set(ids):
            raise BadInput(
                f"{path} has predictions of seed {seed} for {len(answers)} test messages, of which "
                f"{len(set(answers) & set(ids))} are in the test split; expected predictions for exactly the "
                f"{len(ids)} messages of the split: finetune again."
            )
    if not found:
        raise BadInput(
            f"{path} has no row of the test split; expected one per seed and message: finetune again."
        )
    seeds = tuple(sorted(found))
    return seeds, np.array([[found[seed][id_] for id_ in ids] for seed in seeds])


def write_baselines(path: Path, test: Sequence[Row], found: Mapping[str, Predictions]) -> None:
    """Write the predictions of the baselines, one row per baseline and test message, atomically.

    Every number has full precision.
    """
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(BASELINE_COLUMNS)
        for name, answers in found.items():
            prob = [None] * len(test) if answers.prob is None else answers.prob.tolist()
            columns = (answers.pred.tolist(), answers.ranking.tolist(), prob)
            writer.writerows((name, row["id"], *cells) for row, *cells in zip(test, *columns, strict=True))


def read_baselines(path: Path, test: Sequence[Row]) -> dict[str, Predictions]:
    """Read the predictions of the baselines that `write_baselines` wrote, in the same order.

    Raises:
        BadInput: the file was written for other test rows.
    """
    found: dict[str, list[dict[str, str]]] = {}
    with open(path, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["baseline"], []).append(row)
    ids = [row["id"] for row in test]
    for name, rows in found.items():
        if [row["id"] for row in rows] != ids:
            raise BadInput(
                f"{path} has predictions of {name} for {len(rows)} messages, not for those of the test split; "
                f"expected its {len(ids)} messages in their order: evaluate again."
            )
    return {name: _predictions(rows) for name, rows in found.items()}


def _predictions(rows: Sequence[Mapping[str, str]]) -> Predictions:
    pred, ranking, prob = ([row[column] for row in rows] for column in BASELINE_COLUMNS[2:])
    return Predictions(
        np.array([int(value) for value in pred]),
        np.array([float(value) for value in ranking]),
        np.array([float(value) for value in prob]) if all(prob) else None,
    )
