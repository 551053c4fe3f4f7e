"""Fingerprints are equal for rows that say the same, and differ where only numbers matter."""

import hashlib
from typing import Any

import pytest

from groundup.text.fingerprints import fingerprint, fingerprints


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"text": "Win 500 now!"}, {"text": "WIN 900 NOW", "label": "spam", "id": "7"}, True),
        ({"text": "See you"}, {"text": "See them"}, False),
        ({"messages": ["Hi.", "And you?"]}, {"text": "hi and you", "id": "1"}, True),
        (
            {"instruction": "Add.", "input": "1 + 1"},
            {"instruction": "ADD", "input": "1 1", "output": "2"},
            True,
        ),
        ({"instruction": "Add.", "input": "1 + 1"}, {"instruction": "Add.", "input": "1 + 2"}, False),
    ],
)
def test_equal_rows(one: dict[str, Any], other: dict[str, Any], same: bool) -> None:
    assert (fingerprint(one) == fingerprint(other)) is same


def test_a_fingerprint_does_not_contain_the_text() -> None:
    assert fingerprints([{"text": "Hello, you!"}]) == {hashlib.sha256(b"hello you").hexdigest()[:16]}
