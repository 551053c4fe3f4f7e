"""Verifiable tasks: samplers and solvers are independent programs, which are compared here."""

import hashlib
import json
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.errors import BadInput
from groundup.text.overlap import normalise
from groundup.verifiable import tasks
from groundup.verifiable.tasks import FAMILIES, check, generate

COUNT = 1000


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    return generate(COUNT, seed=7)


def test_families() -> None:
    assert len(FAMILIES) >= 26
    for name, family in FAMILIES.items():
        assert re.fullmatch("[a-z]+(_[a-z]+)*", name)
        assert 3 <= len(family.templates) <= 6
        assert all(len(re.sub(r"\{\w+\}", "", template).split()) < 12 for template in family.templates)


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
    """Answers from a closed set are balanced: none is right more than six times in ten."""
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


@given(st.text())
def test_only_the_answer_passes(response: str) -> None:
    right = response.strip().removesuffix(".").rstrip() == "tea"
    assert check("first_word", "Say the first word.", "tea, red, cow", response) == right


def test_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match="instances_per_family is 0"):
        generate(0, seed=1)
    with pytest.raises(BadInput, match=r"'first_wrod'.*first_word"):
        check("first_wrod", "Say the first word.", "tea, red", "tea")
    with pytest.raises(ValueError, match="not an instruction of the family first_word"):
        check("first_word", "Say the last word.", "tea, red", "red")
    monkeypatch.setattr(tasks, "FAMILIES", {"greet": FAMILIES["greet"]})  # 1,900 prompts
    with pytest.raises(BadInput, match=r"greet has about 1\d\d\d distinct prompts; expected at least 3000"):
        generate(3000, seed=1)
