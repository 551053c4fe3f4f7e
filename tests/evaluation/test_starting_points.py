import numpy as np
import pytest

from groundup.evaluation.baselines import NAMES, Predictions
from groundup.evaluation.spam_results import Answers
from groundup.evaluation.starting_points import (
    STARTS,
    book_accuracy,
    gains,
    headline,
    question_answers,
    right_answers,
    table,
)
from tests.tiny import EVALUATE

TRUTH = np.array([1, 0, 1, 0, 0, 0, 1, 0, 0, 0])


def answers(wrong: int) -> Answers:
    """Two seeds that are wrong about the first messages, and baselines that always predict ham."""
    prob = np.where(TRUTH == 1, 0.9, 0.1)
    prob[:wrong] = 1 - prob[:wrong]
    nothing = Predictions(np.zeros(10, dtype=np.int64), np.zeros(10), np.zeros(10))
    return Answers(TRUTH, (1, 2), np.stack([prob, prob]), dict.fromkeys(NAMES, nothing))


def scored(share: float, bits: float) -> dict[str, object]:
    entry = {"exact_match": {"mean": share, "low": share - 0.1, "high": share + 0.1}, "instances": 10}
    return {
        "parameters": 1_000_000,
        "bits_per_byte": bits,
        "bytes": 100,
        "test": entry,
        "held_out": entry,
        "questions": None,
    }


def test_the_table_by_hand() -> None:
    result = table(
        {name: scored(0.1 * (i + 1), 2.0 - 0.1 * i) for i, name in enumerate(STARTS)},
        {name: answers(6 - i) for i, name in enumerate(STARTS)},
        EVALUATE,
    )
    starts = result["starts"]
    assert list(starts) == list(STARTS)
    # the last start misses the first message, which is spam: recall 2/3, precision 1
    assert starts["dpo"]["spam"]["f1"]["mean"] == pytest.approx(0.8)
    assert starts["dpo"]["bits_per_byte"] == 1.5
    # a baseline that always predicts ham finds no spam
    assert starts["dpo"]["spam_difference"]["f1"]["mean"] == pytest.approx(0.8)
    f1 = starts["published"]["spam"]["f1"]["mean"]
    assert headline(result) == pytest.approx(
        {"bpb": 1.7, "spam_f1": f1, "unseen": 0.5, "held_out": 0.5}, abs=1e-4
    )


def test_the_book_s_split_by_hand() -> None:
    result = book_accuracy(answers(1), EVALUATE)
    assert result["accuracy"]["mean"] == pytest.approx(0.9)
    assert result["per_seed"] == {"1": 0.9, "2": 0.9}
    assert result["baseline"]["mean"] == 0.7  # always ham
    assert result["items"] == 10


def test_right_answers_are_checked_by_program() -> None:
    row = {"family": "last", "instruction": "Say the last word", "input": "red tea", "output": "tea"}
    given = {"a": [{**row, "response": "tea."}], "b": [{**row, "response": "red"}]}
    assert right_answers(given) == {"a": [True], "b": [False]}


def test_gains_are_paired_by_instance() -> None:
    rows = [{"id": str(i), "split": "test" if i < 6 else "held_out"} for i in range(10)]
    right = {
        "published": [False] * 10,
        "lora": [True] * 6 + [True, False, False, False],
        "dpo": [True] * 6 + [False, True, False, False],
    }
    responses = dict.fromkeys(right, rows)
    result = gains(responses, right, EVALUATE)
    assert result["lora - published"]["test"] == {"mean": 1.0, "low": 1.0, "high": 1.0}
    assert result["lora - published"]["held_out"]["mean"] == 0.25
    moved = result["dpo - lora"]["held_out"]
    assert moved["mean"] == 0 and moved["low"] < 0 < moved["high"]


def test_answers_of_chat_models_side_by_side() -> None:
    rounds = {"right": {}, "sentences": {}, "instances": 1}
    said = {
        name: {"fresh": {**rounds, "answers": [{"question": "Where?", "answer": name, "right": name == "a"}]}}
        for name in ("a", "b")
    }
    scores: dict[str, dict[str, object]] = {name: {"questions": found} for name, found in said.items()}
    assert question_answers({**scores, "c": {"questions": None}}) == [
        {
            "question": "Where?",
            "answers": {"a": {"answer": "a", "right": True}, "b": {"answer": "b", "right": False}},
        }
    ]
