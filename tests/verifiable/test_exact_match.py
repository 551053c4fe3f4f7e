"""Exact match: counts by hand, intervals against the textbook formula."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.verifiable.answers import stored_answers
from groundup.verifiable.exact_match import score


def row(family: str, output: str, number: int = 0) -> dict[str, str]:
    return {"family": family, "instruction": f"Say {output}.", "input": str(number), "output": output}


def wilson(right: int, n: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """Wilson (1927), equation in the form of Brown, Cai and DasGupta 2001, section 3.1.1."""
    centre = (right + z * z / 2) / (n + z * z)
    half = z * math.sqrt(n) / (n + z * z) * math.sqrt(right / n * (1 - right / n) + z * z / (4 * n))
    return centre - half, centre + half


def test_counts_by_hand() -> None:
    rows = [row("b", "tea", 1), row("b", "tea", 2), row("a", "red", 3), row("b", "milk", 4)]
    result = score(rows, ["tea", " tea. ", "blue", "Milk"], stored_answers(rows))
    assert result["instances"] == 4
    assert result["exact_match"]["mean"] == 0.5
    assert list(result["families"]) == ["a", "b"]
    assert result["families"]["a"]["exact_match"]["mean"] == 0
    assert result["families"]["b"]["exact_match"]["mean"] == pytest.approx(2 / 3)
    assert result["families"]["b"]["instances"] == 3
    assert result["macro_exact_match"]["mean"] == pytest.approx(1 / 3)


@given(st.integers(0, 30), st.integers(1, 30))
def test_intervals_are_wilsons(right: int, n: int) -> None:
    right = min(right, n)
    rows = [row("a", "yes", number) for number in range(n)]
    share = score(rows, ["yes"] * right + ["no"] * (n - right), stored_answers(rows))["exact_match"]
    low, high = wilson(right, n)
    assert share["mean"] == right / n
    assert share["low"] == pytest.approx(low, abs=1e-9)
    assert share["high"] == pytest.approx(high, abs=1e-9)
    assert 0 <= share["low"] <= share["mean"] <= share["high"] <= 1


def test_macro_interval() -> None:
    """One family: Wilson's own. k equal families: its half-widths divided by the root of k."""
    rows = [row(family, "yes", number) for family in "abcd" for number in range(10)]
    answers = (["yes"] * 7 + ["no"] * 3) * 4
    low, high = wilson(7, 10)
    one = score(rows[:10], answers[:10], stored_answers(rows))["macro_exact_match"]
    assert one == pytest.approx({"mean": 0.7, "low": low, "high": high})
    four = score(rows, answers, stored_answers(rows))["macro_exact_match"]
    assert four == pytest.approx({"mean": 0.7, "low": 0.7 - (0.7 - low) / 2, "high": 0.7 + (high - 0.7) / 2})


def test_check_decides_and_sees_the_prompt_only() -> None:
    seen = []

    def check(family: str, instruction: str, input: str, response: str) -> bool:
        seen.append((family, instruction, input, response))
        return response == "anything"

    assert score([row("a", "red", 5)], ["anything"], check)["exact_match"]["mean"] == 1
    assert seen == [("a", "Say red.", "5", "anything")]


def test_no_rows_give_the_widest_interval() -> None:
    result = score([], [], stored_answers([]))
    assert result["instances"] == 0 and result["families"] == {}
    assert result["exact_match"] == result["macro_exact_match"] == {"mean": 0.0, "low": 0.0, "high": 1.0}
