"""Training curves as CSV: one row per step, one column per metric."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from groundup.files import atomic_path


def write_curve(path: Path, history: Sequence[Mapping[str, float]]) -> None:
    """Write the history of a training as CSV, atomically.

    Args:
        path: the file.
        history: rows of metrics, each with a "step". A metric that a row lacks becomes an empty cell.
    """
    columns = list(dict.fromkeys(["step", *(name for row in history for name in row)]))
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for row in history:
            writer.writerow([_cell(row[name]) if name in row else "" for name in columns])


def _cell(value: float) -> str:
    """Format a number: an integer in full, a float with six significant digits."""
    return str(value) if isinstance(value, int) else f"{value:.6g}"


def read_curve(path: Path) -> list[dict[str, float]]:
    """Read a training curve written by `write_curve`; an empty cell becomes nan."""
    with open(path, encoding="utf-8", newline="") as file:
        return [{key: float(value or "nan") for key, value in row.items()} for row in csv.DictReader(file)]
