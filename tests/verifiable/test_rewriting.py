"""Rewriting: every family against answers worked out by hand."""

import pytest

from groundup.verifiable import rewriting
from tests.verifiable.by_hand import Example, assert_holds

# family -> (instruction, input, right answer, wrong answers)
BY_HAND: dict[str, Example] = {
    "repeat_phrase": ("Say it again.", "the old red bus", "the old red bus", ["old red bus"]),
    "replace_word": ("Replace red with blue.", "the old red bus", "the old blue bus", ["the old red bus"]),
    "remove_word": ("Take out red.", "tea, red, cow", "tea, cow", ["tea, red", "red"]),
    "join_words": ("Join the words with or.", "tea, milk", "tea or milk", ["tea and milk"]),
    "initials": ("Give the first letters.", "tea, milk", "t m", ["m t", "tm"]),
    "same_phrase": ("Do the two match?", "old bus, old van", "no", ["yes"]),
}


def test_every_family_has_an_example() -> None:
    assert list(BY_HAND) == [family.name for family in rewriting.FAMILIES]


@pytest.mark.parametrize("family", rewriting.FAMILIES, ids=lambda family: family.name)
def test_answers_by_hand(family: rewriting.Family) -> None:
    assert_holds(family, BY_HAND[family.name])
