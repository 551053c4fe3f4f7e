"""Lists: every family against answers worked out by hand."""

import pytest

from groundup.verifiable import lists
from tests.verifiable.by_hand import Example, assert_holds

# family -> (instruction, input, right answer, wrong answers)
BY_HAND: dict[str, Example] = {
    "first_word": ("Say the first word.", "tea, red, cow", "tea", ["red", "cow"]),
    "second_word": ("Which word is second?", "tea, red, cow", "red", ["tea", "cow"]),
    "third_word": ("Give me the third word.", "tea, red, cow, bus", "cow", ["bus", "red"]),
    "last_word": ("What is the last word?", "tea, red, cow, bus", "bus", ["cow", "tea"]),
    "nth_name": ("Say the second name.", "Tom, Mary, Ben", "Mary", ["Tom", "mary"]),
    "contains_word": ("Is cow in the list?", "tea, red, cow, bus", "yes", ["no", "cow"]),
    "count_words": ("Count the words.", "tea, red, cow, bus, key", "five", ["four", "5"]),
    "reverse_three": ("Reverse the words.", "tea, red, cow", "cow, red, tea", ["tea, red, cow"]),
    "swap_words": ("Swap the two words.", "tea, red", "red, tea", ["tea, red"]),
    "sort_words": ("Sort the words from A to Z.", "tea, red", "red, tea", ["tea, red"]),
}


def test_every_family_has_an_example() -> None:
    assert list(BY_HAND) == [family.name for family in lists.FAMILIES]


@pytest.mark.parametrize("family", lists.FAMILIES, ids=lambda family: family.name)
def test_answers_by_hand(family: lists.Family) -> None:
    assert_holds(family, BY_HAND[family.name])
