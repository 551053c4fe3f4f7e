"""The gate rows that neither model was trained on, found by fingerprints of the training texts."""

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from groundup.text.overlap import normalise

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
