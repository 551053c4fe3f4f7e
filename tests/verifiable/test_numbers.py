"""Numbers and days: every family against answers worked out by hand."""

import pytest

from groundup.verifiable import numbers
from tests.verifiable.by_hand import Example, assert_holds

# family -> (instruction, input, right answer, wrong answers)
BY_HAND: dict[str, Example] = {
    "largest_number": ("Say the highest number.", "nine, two, twelve", "twelve", ["nine"]),
    "sort_numbers": ("Sort the numbers.", "nine, two, twelve", "two, nine, twelve", ["twelve, nine, two"]),
    "next_number": ("Say the next number.", "Tom has nine red cups.", "ten", ["nine"]),
    "word_to_digit": ("Which digit is it?", "Tom has nine red cups.", "9", ["nine", "8"]),
    "small_addition": ("Add them up.", "Tom has two cups and gets six more.", "eight", ["six"]),
    "add_two_digits": ("Work it out.", "thirty five plus seventeen", "fifty two", ["forty two"]),
    "count_letters": ("Count the letters.", "red monkey", "nine", ["ten"]),
    "next_day": ("Say the day after.", "Tom plays golf on Sunday.", "Monday", ["Saturday"]),
}


def test_every_family_has_an_example() -> None:
    assert list(BY_HAND) == [family.name for family in numbers.FAMILIES]


@pytest.mark.parametrize("family", numbers.FAMILIES, ids=lambda family: family.name)
def test_answers_by_hand(family: numbers.Family) -> None:
    assert_holds(family, BY_HAND[family.name])
