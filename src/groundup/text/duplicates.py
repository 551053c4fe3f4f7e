"""Duplicate texts: drop them, count them, and stop if too many rows are dropped."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from groundup.errors import BadInput
from groundup.text.overlap import normalise

Row = dict[str, Any]


def key_of(text: str) -> str:
    """Return the key that duplicates share: it ignores letter case, punctuation and white space, but not numbers.

    "10 + 11 = 21" and "12 + 13 = 25" are two texts, and so are the price lists of two days.
    """
    return normalise(text, keep_digits=True)


def keep_first(rows: Sequence[Row], text_of: Callable[[Row], str]) -> tuple[list[Row], Counter[str]]:
    """Keep the first of all rows whose text is equal, exactly or after `key_of`; count the others.

    Returns:
        The rows kept, in order, and "exact duplicates" or "normalised duplicates" -> number of rows dropped.
        A row also counts as a duplicate of a row that was dropped.
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


def check_loss(dropped: Mapping[str, int], read: int, section: str, limit: float) -> None:
    """Check that at most the share `limit` of the rows of a dataset was dropped.

    Args:
        dropped: reason -> number of rows dropped.
        read: number of rows read.
        section: the section of params.yaml whose max_dropped_share is the limit.
        limit: the largest share that may be dropped, 0 to 1.

    Raises:
        BadInput: more was dropped; the message gives the count of every reason.
    """
    lost = sum(dropped.values())
    if lost > limit * read:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in dropped.items() if count)
        raise BadInput(
            f"{lost:,} of {read:,} rows ({lost / read:.1%}) would be dropped: {reasons}; "
            f"{section}.max_dropped_share allows {limit:.1%}: repair the data, or raise the value to drop them."
        )
