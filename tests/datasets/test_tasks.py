"""Verifiable tasks: samplers and solvers are two programs; here they meet each other and answers worked out by hand."""

import hashlib
import json
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.datasets import tasks
from groundup.datasets.task_families.words import KIND_OF, KINDS, NUMBERS, THINGS, plural
from groundup.datasets.tasks import FAMILIES, check, generate
from groundup.errors import BadInput
from groundup.evaluation.contamination import normalise

COUNT = 1000

# family -> (instruction, input, right answer, wrong answers), all worked out by hand
BY_HAND: dict[str, tuple[str, str, str, list[str]]] = {
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
    "pick_kind": ("Find a drink in the list.", "dog, tea, red", "tea", ["dog"]),
    "contains_kind": ("Is an animal in the list?", "bus, tea, red", "no", ["yes"]),
    "choose_option": ("Which option is a color?", "A: dog B: red C: tea", "B", ["red", "A"]),
    "category": ("Name the kind.", "dog, cow, pig", "animal", ["dog", "food"]),
    "odd_one_out": ("Which word does not fit?", "dog, cow, tea, pig", "tea", ["dog"]),
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
    "largest_number": ("Say the highest number.", "nine, two, twelve", "twelve", ["nine"]),
    "sort_numbers": ("Sort the numbers.", "nine, two, twelve", "two, nine, twelve", ["twelve, nine, two"]),
    "next_number": ("Say the next number.", "Tom has nine red cups.", "ten", ["nine"]),
    "word_to_digit": ("Which digit is it?", "Tom has nine red cups.", "9", ["nine", "8"]),
    "small_addition": ("Add them up.", "Tom has two cups and gets six more.", "eight", ["six"]),
    "add_two_digits": ("Work it out.", "thirty five plus seventeen", "fifty two", ["forty two"]),
    "count_letters": ("Count the letters.", "red monkey", "nine", ["ten"]),
    "next_day": ("Say the day after.", "Tom plays golf on Sunday.", "Monday", ["Saturday"]),
    "repeat_phrase": ("Say it again.", "the old red bus", "the old red bus", ["old red bus"]),
    "replace_word": ("Replace red with blue.", "the old red bus", "the old blue bus", ["the old red bus"]),
    "remove_word": ("Take out red.", "tea, red, cow", "tea, cow", ["tea, red", "red"]),
    "join_words": ("Join the words with or.", "tea, milk", "tea or milk", ["tea and milk"]),
    "initials": ("Give the first letters.", "tea, milk", "t m", ["m t", "tm"]),
    "same_phrase": ("Do the two match?", "old bus, old van", "no", ["yes"]),
}


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    return generate(COUNT, seed=7)


def test_families() -> None:
    assert len(FAMILIES) >= 26
    assert len({family.skill for family in FAMILIES.values()}) >= 12
    assert set(BY_HAND) == set(FAMILIES)
    for name, family in FAMILIES.items():
        assert re.fullmatch("[a-z]+(_[a-z]+)*", name)
        assert 3 <= len(family.templates) <= 6
        assert all(len(re.sub(r"\{\w+\}", "", template).split()) < 12 for template in family.templates)


@pytest.mark.parametrize("name", BY_HAND)
def test_answers_by_hand(name: str) -> None:
    instruction, input, right, wrong = BY_HAND[name]
    assert check(name, instruction, input, right)
    assert check(name, instruction, input, f" {right}.\n")
    for response in ["", right + "!", right + "..", f"{right} {right}", *wrong]:
        assert not check(name, instruction, input, response), response


def test_the_solver_agrees_with_the_sampler(rows: list[dict[str, str]]) -> None:
    for row in rows:
        prompt = row["family"], row["instruction"], row["input"]
        assert check(*prompt, row["output"]), row
        assert not check(*prompt, row["output"] + "x"), row


def test_answers_of_other_rows_are_wrong(rows: list[dict[str, str]]) -> None:
    for row, other in pairwise(rows):
        if row["output"] != other["output"]:
            assert not check(row["family"], row["instruction"], row["input"], other["output"]), row


def test_rows(rows: list[dict[str, str]]) -> None:
    assert len(rows) == COUNT * len(FAMILIES)
    assert len({row["id"] for row in rows}) == len(rows)
    for row in rows:
        assert list(row) == ["id", "family", "instruction", "input", "output"]
        assert row["output"] == row["output"].strip() != ""
        assert 1 <= len(row["output"].split()) <= 8
        assert len(row["input"].split()) <= 25
        assert "{" not in row["instruction"] and row["instruction"].isascii() and row["input"].isascii()


def test_prompts_are_distinct_over_all_families(rows: list[dict[str, str]]) -> None:
    prompts = {normalise(f"{row['instruction']}\n{row['input']}") for row in rows}
    assert len(prompts) == len(rows)


def test_no_answer_is_a_safe_guess(rows: list[dict[str, str]]) -> None:
    """Answers of a closed set are balanced: none is right more than six times in ten."""
    for name in FAMILIES:
        outputs = [row["output"] for row in rows if row["family"] == name]
        assert max(map(outputs.count, set(outputs))) <= 0.6 * COUNT, name


def test_same_seed_same_bytes() -> None:
    text = "".join(json.dumps(row) + "\n" for row in generate(20, seed=2024))
    assert (
        hashlib.sha256(text.encode()).hexdigest()
        == "1ec4869c7a056e1c1367bb572a24c6148811f5153d85a4cb21e6fef998359e23"
    ), (
        "the generated data changed: every model trained on it is another one; if that is meant, pin the new hash"
    )
    assert generate(5, seed=1) != generate(5, seed=2)


@given(st.integers(1, 6), st.integers(0, 6), st.integers(0, 2**40))
def test_more_instances_extend_a_family(few: int, more: int, seed: int) -> None:
    short, long = generate(few, seed), generate(few + more, seed)
    ids = {row["id"] for row in short}
    assert [row for row in long if row["id"] in ids] == short


@given(st.sampled_from(sorted(BY_HAND)), st.text())
def test_only_the_answer_passes(name: str, response: str) -> None:
    instruction, input, right, _ = BY_HAND[name]
    assert check(name, instruction, input, response) == (response.strip().removesuffix(".").rstrip() == right)


def test_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match="instances_per_family is 0"):
        generate(0, seed=1)
    with pytest.raises(BadInput, match=r"'first_wrod'.*first_word"):
        check("first_wrod", "Say the first word.", "tea, red", "tea")
    with pytest.raises(ValueError, match="not an instruction of the family first_word"):
        check("first_word", "Say the last word.", "tea, red", "red")
    monkeypatch.setattr(tasks, "FAMILIES", {"greet": FAMILIES["greet"]})  # 1,900 prompts
    with pytest.raises(BadInput, match=r"greet has about 1\d\d\d distinct prompts, fewer than .* 3000"):
        generate(3000, seed=1)


def test_words_have_one_kind() -> None:
    words = [word for kind in KINDS.values() for word in kind] + list(THINGS)
    assert len(set(words)) == len(words) and len(KIND_OF) + len(THINGS) == len(words)
    assert NUMBERS[:3] == ("zero", "one", "two") and NUMBERS[42] == "forty two" and NUMBERS[90] == "ninety"
    assert len(NUMBERS) == 100
    assert [plural(noun) for noun in ("dog", "bus", "box", "mouse", "sheep")] == [
        "dogs",
        "buses",
        "boxes",
        "mice",
        "sheep",
    ]
