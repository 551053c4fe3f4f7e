"""The gate rows that are compared: those that neither model was trained on, and one of each group of near duplicates.

McNemar's test assumes that rows are independent. But twelve messages of one spam campaign are caught or missed
together: twelve wins would be significant although the challenger has learned only one thing. So a campaign is one row.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from groundup.text.fingerprints import fingerprint
from groundup.text.near_duplicates import near_groups

Row = Mapping[str, Any]


def unseen(rows: Sequence[Row], *trained: Collection[str]) -> tuple[list[Row], int]:
    """Return the rows that no model was trained on, and how many others were left out.

    Args:
        rows: the rows.
        trained: the fingerprints of the training rows of each model, as sets.
    """
    found = [fingerprint(row) for row in rows]
    kept = [row for row, mark in zip(rows, found, strict=True) if not any(mark in texts for texts in trained)]
    return kept, len(rows) - len(kept)


def independent(rows: Sequence[Row], text_of: Callable[[Row], str]) -> tuple[list[Row], int]:
    """Return the first row of each group of near duplicates (see `near_groups`), and how many were left out."""
    first: dict[int, Row] = {}
    for group, row in zip(near_groups([text_of(row) for row in rows]), rows, strict=True):
        first.setdefault(group, row)
    return list(first.values()), len(rows) - len(first)


def spread(rows: Sequence[Row], count: int) -> list[Row]:
    """Return at most `count` rows, spread evenly over all."""
    count = min(len(rows), count)
    return [rows[i * len(rows) // count] for i in range(count)]
