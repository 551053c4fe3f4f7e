"""Dropping what says the same thing twice, and counting it."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from groundup.evaluation.contamination import normalise

Row = dict[str, Any]


def keep_first(
    rows: Sequence[Row], text_of: Callable[[Row], str], key_of: Callable[[str], str] = normalise
) -> tuple[list[Row], Counter[str]]:
    """Keep the first of all rows with the same text, exactly or after `key_of`; count the others.

    Returns the rows kept, in order, and how many were "exact duplicates" and "normalised duplicates" of an earlier
    row, kept or not.
    """
    kept, reasons = [], Counter[str]()
    texts: set[str] = set()
    keys: set[str] = set()
    for row in rows:
        text = text_of(row)
        key = key_of(text)
        if text in texts:
            reasons["exact duplicates"] += 1
        elif key in keys:
            reasons["normalised duplicates"] += 1
        else:
            kept.append(row)
        texts.add(text)
        keys.add(key)
    return kept, reasons
