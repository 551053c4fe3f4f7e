"""Fingerprints of training rows: they show whether a model was trained on a row, without storing its text."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from groundup.text.documents import text_of
from groundup.text.overlap import normalise


def fingerprint(row: Mapping[str, Any]) -> str:
    """Return 16 hex digits, the same for all rows whose texts are equal after `normalise`.

    Instructions keep their digits, because different sums may differ only in these; messages and documents do not.

    Args:
        row: a message (text), a document (messages) or an instruction (instruction, input); other keys are ignored.
    """
    if "instruction" in row:
        text, keep_digits = f"{row['instruction']}\n{row['input']}", True
    else:
        text, keep_digits = row["text"] if "text" in row else text_of(row["messages"]), False
    return hashlib.sha256(normalise(text, keep_digits=keep_digits).encode()).hexdigest()[:16]


def fingerprints(rows: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return the fingerprints of rows, such as those that a model was trained on."""
    return {fingerprint(row) for row in rows}
