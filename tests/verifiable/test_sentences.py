"""Reading: every family against answers worked out by hand."""

import pytest

from groundup.verifiable import sentences
from tests.verifiable.by_hand import Example, assert_holds

# family -> (instruction, input, right answer, wrong answers)
BY_HAND: dict[str, Example] = {
    "find_name": ("Find the name.", "Mary has rice for a red dog at the farm.", "Mary", ["dog", "rice"]),
    "find_color": ("Which color is here?", "Mary has rice for a red dog at the farm.", "red", ["dog"]),
    "find_animal": ("Find the animal.", "Mary has rice for a red dog at the farm.", "dog", ["red"]),
    "find_place": ("Tell me the place.", "Mary has rice for a red dog at the farm.", "farm", ["the farm"]),
    "find_food": ("Find the food.", "Mary has rice for a red dog at the farm.", "rice", ["dog"]),
    "who_has": ("Who has the key?", "Tom has a cup. Mary has a key.", "Mary", ["Tom"]),
    "where_is": ("Where is the dog?", "The cat is at the gym. The dog is at the bank.", "bank", ["gym"]),
    "who_is_where": ("Who is at the gym?", "Tom is at the gym. Mary is at the bank.", "Tom", ["Mary"]),
    "like_both": ("Say that you like tea and golf.", "", "I like tea and golf", ["I like golf and tea"]),
    "greet": ("Greet Tom and Mary.", "", "Hello Tom and Mary", ["Hello Mary and Tom", "Tom and Mary"]),
}


def test_every_family_has_an_example() -> None:
    assert list(BY_HAND) == [family.name for family in sentences.FAMILIES]


@pytest.mark.parametrize("family", sentences.FAMILIES, ids=lambda family: family.name)
def test_answers_by_hand(family: sentences.Family) -> None:
    assert_holds(family, BY_HAND[family.name])
