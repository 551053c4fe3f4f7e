"""Kinds of words: every family against answers worked out by hand."""

import pytest

from groundup.verifiable import kinds
from tests.verifiable.by_hand import Example, assert_holds

# family -> (instruction, input, right answer, wrong answers)
BY_HAND: dict[str, Example] = {
    "pick_kind": ("Find a drink in the list.", "dog, tea, red", "tea", ["dog"]),
    "contains_kind": ("Is an animal in the list?", "bus, tea, red", "no", ["yes"]),
    "choose_option": ("Which option is a color?", "A: dog B: red C: tea", "B", ["red", "A"]),
    "category": ("Name the kind.", "dog, cow, pig", "animal", ["dog", "food"]),
    "odd_one_out": ("Which word does not fit?", "dog, cow, tea, pig", "tea", ["dog"]),
}


def test_every_family_has_an_example() -> None:
    assert list(BY_HAND) == [family.name for family in kinds.FAMILIES]


@pytest.mark.parametrize("family", kinds.FAMILIES, ids=lambda family: family.name)
def test_answers_by_hand(family: kinds.Family) -> None:
    assert_holds(family, BY_HAND[family.name])
