"""Grammar and meaning: every family against answers worked out by hand."""

import pytest

from groundup.verifiable import grammar
from tests.verifiable.by_hand import Example, assert_holds

# family -> (instruction, input, right answer, wrong answers)
BY_HAND: dict[str, Example] = {
    "sentiment": ("Good or bad news?", "The soup was not good.", "negative", ["positive"]),
    "sentence_type": ("Name the type of sentence.", "give the cake to Tom", "command", ["question"]),
    "past_tense": (
        "What is the past tense?",
        "They drive with Tom at the farm.",
        "drove",
        ["drived", "drive"],
    ),
    "plural": ("Write the plural.", "one red bus", "red buses", ["red buss", "buses"]),
    "opposite": ("Say the opposite.", "Tom says the car is slow.", "fast", ["slow"]),
    "pronoun": ("He or she?", "Mary likes your van.", "she", ["he"]),
    "capitalize_name": ("Fix the name.", "I saw mary at the gym", "Mary", ["mary"]),
}


def test_every_family_has_an_example() -> None:
    assert list(BY_HAND) == [family.name for family in grammar.FAMILIES]


@pytest.mark.parametrize("family", grammar.FAMILIES, ids=lambda family: family.name)
def test_answers_by_hand(family: grammar.Family) -> None:
    assert_holds(family, BY_HAND[family.name])
