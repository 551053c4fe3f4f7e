from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from groundup.datasets.catalogue import Dataset, Generate
from groundup.datasets.preferences import (
    KEYS,
    JudgedPairsConfig,
    preferences_named,
    split_pairs,
    with_mistakes,
    with_wrong_answers,
)
from groundup.errors import BadInput

CONFIG = JudgedPairsConfig(source="dataset", dataset="mine", seed=1, val_fraction=0.2, max_dropped_share=1)


def check(family: str, instruction: str, input: str, response: str) -> bool:
    """Any of the words is right for "any", the last one otherwise."""
    words = input.split()
    return response in words if family == "any" else response == words[-1]


def row(number: int, family: str, input: str, output: str) -> dict[str, str]:
    return {"id": str(number), "family": family, "instruction": "Say", "input": input, "output": output}


ROWS = [
    row(0, "last", "tea red house", "house"),
    row(1, "last", "red tea", "tea"),
    row(2, "last", "big house", "house"),
    row(3, "any", "cat dog", "cat"),
    row(4, "any", "dog cat", "dog"),
]


def test_the_rejected_answer_is_of_the_family_and_wrong() -> None:
    found = {pair["id"]: pair for pair in with_wrong_answers(ROWS, check, seed=1)}
    # of the family "any" both answers are right for both rows
    assert {name: (pair["chosen"], pair["rejected"]) for name, pair in found.items()} == {
        "0": ("house", "tea"),
        "1": ("tea", "house"),
        "2": ("house", "tea"),
    }
    assert all(tuple(pair) == KEYS for pair in found.values())


def test_equal_seeds_give_equal_pairs() -> None:
    many = [row(i, "last", f"a w{i}", f"w{i}") for i in range(30)]
    first = with_wrong_answers(many, check, seed=1)
    assert with_wrong_answers(list(reversed(many)), check, seed=1) == list(reversed(first))
    assert with_wrong_answers(many, check, seed=2) != first


def pair(number: int, **changes: Any) -> dict[str, Any]:
    """A pair as in a dataset, with an output that is not needed."""
    return {
        "id": f"pair{number}",
        "family": "book",
        "instruction": f"Name {number} colours.",
        "input": "",
        "output": "red",
        "chosen": f"{number} reds",
        "rejected": "no",
    } | changes


def parts(rows: list[dict[str, Any]], config: JudgedPairsConfig = CONFIG) -> dict[str, set[str]]:
    return {name: {pair["id"] for pair in part} for name, part in split_pairs(rows, config)[0].items()}


def test_every_pair_is_in_one_split_of_the_configured_share() -> None:
    rows = [pair(i) for i in range(50)]
    splits, dropped = split_pairs(rows, CONFIG)
    assert {name: len(part) for name, part in splits.items()} == {"train": 40, "val": 10}
    assert dropped == Counter()
    kept = sorted(splits["train"] + splits["val"], key=lambda p: int(p["id"].removeprefix("pair")))
    assert kept == [{key: row[key] for key in KEYS} for row in rows]


def test_the_split_depends_on_the_seed_and_not_on_the_order() -> None:
    rows = [pair(i) for i in range(50)]
    assert parts(rows) == parts(rows[::-1])
    assert parts(rows) != parts(rows, replace(CONFIG, seed=2))


def test_one_input_is_in_one_split() -> None:
    rows = [pair(i, input=f"text {i // 2}") for i in range(40)]
    for part in parts(rows).values():
        assert all(f"pair{i}" in part for name in part for i in [int(name.removeprefix("pair")) ^ 1])


def test_repeated_and_evaluated_pairs_are_dropped_and_counted() -> None:
    rows = [pair(i) for i in range(20)]
    rows += [
        pair(20, chosen="equal", rejected=" equal "),
        pair(21) | {key: pair(3)[key] for key in KEYS[2:]},
        pair(22) | {key: pair(3)[key].upper() for key in KEYS[2:]},
        pair(23) | {key: pair(3)[key] for key in KEYS[2:]} | {"rejected": "another answer"},
    ]
    splits, dropped = split_pairs(rows, CONFIG, [{"instruction": "Name 4 colours", "input": ""}])
    assert dropped == {
        "equal answers": 1,
        "exact duplicates": 1,
        "normalised duplicates": 1,
        "asked in the evaluation": 1,
    }
    kept = {pair["id"] for part in splits.values() for pair in part}
    assert kept == {f"pair{i}" for i in range(20) if i != 4} | {"pair23"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"chosen": None}, "chosen"),
        ({"rejected": 3}, "rejected"),
        ({"chosen": " \n"}, "chosen"),
        ({"instruction": "", "rejected": ""}, "instruction, rejected"),
    ],
)
def test_a_row_without_text(changes: dict[str, Any], said: str) -> None:
    rows = [pair(0), pair(1, **changes)]
    with pytest.raises(
        BadInput, match=f"mine, row 2: no text under {said}; expected the keys id, .* correct or"
    ):
        split_pairs(rows, CONFIG)


def test_a_row_without_a_key() -> None:
    short = pair(0)
    del short["rejected"], short["input"]
    with pytest.raises(BadInput, match="mine, row 1: no text under input, rejected; expected"):
        split_pairs([short], CONFIG)


@pytest.mark.parametrize(
    ("rows", "said"),
    [([], "0 pairs leave nothing for train and val"), ([pair(0)], "1 pairs .* val")],
)
def test_too_few_pairs(rows: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        split_pairs(rows, CONFIG)


def test_the_models_own_mistake_is_rejected() -> None:
    answers = ["house", "red", "", "dog", "cow"]
    assert with_mistakes(ROWS, answers, check) == [
        {
            "id": "1",
            "family": "last",
            "instruction": "Say",
            "input": "red tea",
            "chosen": "tea",
            "rejected": "red",
        },
        {
            "id": "2",
            "family": "last",
            "instruction": "Say",
            "input": "big house",
            "chosen": "house",
            "rejected": "",
        },
        {
            "id": "4",
            "family": "any",
            "instruction": "Say",
            "input": "dog cat",
            "chosen": "dog",
            "rejected": "cow",
        },
    ]


def test_only_datasets_of_preferences_are_a_source() -> None:
    catalogue = {
        name: Dataset(name, role, "t", "l", "c", generate=Generate(1, 1))
        for name, role in (("mine", "preferences"), ("mail", "spam"))
    }
    assert preferences_named("mine", catalogue) is catalogue["mine"]
    with pytest.raises(
        BadInput,
        match=r"preferences.dataset: 'mail' has the role spam; expected .* role preferences: choose one of mine",
    ):
        preferences_named("mail", catalogue)
    with pytest.raises(BadInput, match=r"'other' is not in the catalogue; .* choose one of mine"):
        preferences_named("other", catalogue)
