"""The table of benchmarks, made of results as the runner writes them."""

from pipelines.docs.benchmarks import code, figure, verdicts

GOAL = {"contender": "gpt2", "against": "transformers", "ratio": 1.2, "reference": "nanoGPT", "factor": 1.03}
LIMIT = {"contender": "gpt2", "figure": "overhead", "value": 2.5, "at_most": True}


def test_three_digits_and_every_digit_of_large_numbers() -> None:
    assert figure({"median": 18213.4, "low": 9.876, "high": 1e6}) == "18,200 (9.88–1,000,000)"
    assert figure({"median": 0.617, "low": 0.6, "high": 100.0}) == "0.617 (0.6–100)"


def test_a_goal_that_is_met_is_bold() -> None:
    reached = {"median": 1.25, "low": 1.2, "high": 1.3}
    row = {
        "goals": [
            {**GOAL, "reached": reached, "met": True},
            {**LIMIT, "reached": reached | {"median": 3.0}, "met": False},
        ]
    }
    assert verdicts(row, "gpt2") == (
        "**1.25 (1.2–1.3) × nanoGPT**; goal at least 1.2<br>3 (1.2–1.3) overhead; goal at most 2.5"
    )
    assert verdicts(row, "llama") == ""
    assert verdicts({"goals": [{**GOAL, "reached": None, "met": None}]}, "gpt2") == "–"


def test_a_row_names_the_code_that_was_measured() -> None:
    commit = "0123456789" * 4
    assert code({"python": "3.11.7", "groundup": commit}) == "commit 0123456"
    assert code({"groundup": f"{commit}-dirty"}) == "commit 0123456+"
    assert code({"python": "3.11.7"}) == "*earlier code*"
