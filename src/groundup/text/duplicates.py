"""Dropping what says the same thing twice, counting it, and stopping where too much was dropped."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from groundup.errors import BadInput
from groundup.text.overlap import normalise

Row = dict[str, Any]


def key_of(text: str) -> str:
    """What duplicates have in common: letter case, punctuation and white space do not count, numbers do.

    "10 + 11 = 21" and "12 + 13 = 25" are two texts, and so are the price lists of two days.
    """
    return normalise(text, keep_digits=True)


def keep_first(rows: Sequence[Row], text_of: Callable[[Row], str]) -> tuple[list[Row], Counter[str]]:
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


def check_loss(dropped: Mapping[str, int], read: int, section: str, limit: float) -> None:
    """Stop where more than the share `limit` of the rows read was dropped.

    Args:
        dropped: how many rows were dropped for each reason.
        section: the section of params.yaml that holds the limit, as max_dropped_share.

    Raises:
        BadInput: with the count of every reason.
    """
    lost = sum(dropped.values())
    if lost > limit * read:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in dropped.items() if count)
        raise BadInput(
            f"{lost:,} of {read:,} rows ({lost / read:.1%}) would be dropped: {reasons}; "
            f"{section}.max_dropped_share allows {limit:.1%}: repair the data, or raise the value if they may go."
        )
