"""The aliases that follow from entries, in worked examples."""

from dataclasses import dataclass
from typing import Any

import pytest

from groundup.tracking.standing import Standing, standing


@dataclass
class Step:
    """The fields of an entry from which the aliases follow."""

    action: str
    after: str | None
    candidate: str | None = None


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([], Standing()),
        ([("promoted", "1")], Standing("1")),
        ([("promoted", "1"), ("promoted", "2")], Standing("2", ("1",))),
        ([("promoted", "1"), ("kept", "1", "2")], Standing("1", (), "2")),
        ([("promoted", "1"), ("kept", "1", "2"), ("undecided", "1", "3")], Standing("1", (), "3")),
        ([("promoted", "1"), ("kept", "1", "2"), ("promoted", "2")], Standing("2", ("1",))),
        (
            [("promoted", "1"), ("promoted", "2"), ("promoted", "3"), ("rolled_back", "2")],
            Standing("2", ("1",)),
        ),
        # a second rollback goes further back, not forth again
        ([*(("promoted", n) for n in "123"), ("rolled_back", "2"), ("rolled_back", "1")], Standing("1")),
        ([*(("promoted", n) for n in "123"), ("rolled_back", "1")], Standing("1")),
        ([("promoted", "1"), ("promoted", "2"), ("rolled_back", "7")], Standing("7", ("1",))),
        (
            [("promoted", "1"), ("promoted", "2"), ("rolled_back", "1"), ("promoted", "2")],
            Standing("2", ("1",)),
        ),
        ([("promoted", "1"), ("promoted", "2"), ("promoted", "1")], Standing("1", ("2",))),
        ([("adopted", "4"), ("promoted", "5"), ("promoted", "6")], Standing("6", ("4", "5"))),
        ([("promoted", "1"), ("adopted", None)], Standing(None, ("1",))),
        ([("promoted", "1"), ("adopted", None), ("promoted", "2")], Standing("2", ("1",))),
    ],
)
def test_standing(steps: list[Any], expected: Standing) -> None:
    entries: Any = [Step(*step) for step in steps]
    assert standing(entries) == expected
