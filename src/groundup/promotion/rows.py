"""The gate rows that are compared: those that neither model was trained on, and one of each group of near duplicates.

McNemar's test counts rows as independent. Twelve messages of one spam campaign are caught or missed together, and
twelve wins would be significant although one thing was learned; so a campaign is one row.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from groundup.text.overlap import linked_groups, normalise

Row = Mapping[str, Any]


def fingerprint(text: str, *, keep_digits: bool) -> str:
    """Return 16 hex digits that equal texts share, and texts that are equal after `normalise`.

    Args:
        keep_digits: whether texts that differ only in numbers are different (sums are, spam is not).
    """
    return hashlib.sha256(normalise(text, keep_digits=keep_digits).encode()).hexdigest()[:16]


def fingerprints(texts: Iterable[str], *, keep_digits: bool) -> set[str]:
    """Return the fingerprints of training texts, which are recorded with the model."""
    return {fingerprint(text, keep_digits=keep_digits) for text in texts}


def unseen(
    rows: Sequence[Row], text_of: Callable[[Row], str], *trained: Collection[str], keep_digits: bool
) -> tuple[list[Row], int]:
    """Return the rows that no model was trained on, and how many others were left out.

    Args:
        trained: the fingerprints of the training texts of each model, as sets.
        keep_digits: as for `fingerprints`.
    """
    kept = []
    for row in rows:
        found = fingerprint(text_of(row), keep_digits=keep_digits)
        if not any(found in texts for texts in trained):
            kept.append(row)
    return kept, len(rows) - len(kept)


def independent(rows: Sequence[Row], text_of: Callable[[Row], str]) -> tuple[list[Row], int]:
    """Return the first row of each group of near duplicates (see `linked_groups`), and how many were left out."""
    kept = [rows[first] for first in sorted(set(linked_groups([text_of(row) for row in rows])))]
    return kept, len(rows) - len(kept)


def spread(rows: Sequence[Row], count: int) -> list[Row]:
    """Return at most `count` rows at equal distances."""
    count = min(len(rows), count)
    return [rows[i * len(rows) // count] for i in range(count)]
