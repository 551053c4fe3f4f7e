import numpy as np
import pytest

from groundup.evaluation.baselines import NAMES, Predictions
from groundup.evaluation.spam_results import Answers
from groundup.evaluation.starting_points import TITLES, conclusions, gains, rows_of, table
from tests.tiny import EVALUATE

TRUTH = np.array([1, 0, 1, 0, 0, 0, 1, 0, 0, 0])


def answers(wrong: int) -> Answers:
    """Two seeds that are wrong about the first messages, and baselines that always say ham."""
    prob = np.where(TRUTH == 1, 0.9, 0.1)
    prob[:wrong] = 1 - prob[:wrong]
    nothing = Predictions(np.zeros(10, dtype=np.int64), np.zeros(10), np.zeros(10))
    return Answers(TRUTH, (1, 2), np.stack([prob, prob]), dict.fromkeys(NAMES, nothing))


def scored(share: float, bits: float) -> dict[str, object]:
    entry = {"exact_match": {"mean": share, "low": share - 0.1, "high": share + 0.1}, "instances": 10}
    return {"parameters": 1_000_000, "bits_per_byte": bits, "bytes": 100, "test": entry, "held_out": entry}


def found() -> dict[str, object]:
    names = list(TITLES)
    result = table(
        {name: scored(0.1 * (i + 1), 2.0 - 0.1 * i) for i, name in enumerate(names)},
        {name: answers(6 - i) for i, name in enumerate(names)},
        answers(1),
        EVALUATE,
    )
    result["book"]["leakage"] = {"exact": 2, "normalised": 3, "share": 0.3}
    result["judge"] = {"judge": None, "scores": {}}
    return result


def test_the_table_by_hand() -> None:
    result = found()
    starts = result["starts"]
    assert list(starts) == list(TITLES)
    # the last one errs on the first message, which is spam: 2 of 3 found, none invented
    assert starts["preferred"]["spam"]["f1"]["mean"] == pytest.approx(0.8)
    assert starts["preferred"]["bits_per_byte"] == 1.5
    assert result["book"]["accuracy"]["mean"] == pytest.approx(0.9)
    assert result["book"]["per_seed"] == {"1": 0.9, "2": 0.9}
    assert starts["preferred"]["spam_difference"]["f1"]["mean"] == pytest.approx(
        0.8
    )  # who says ham finds nothing
    assert rows_of(result)[-1][:4] == [TITLES["preferred"], "1.0 M", "1.500", "60.0% (50.0%–70.0%)"]


def test_gains_are_paired_by_instance() -> None:
    rows = [{"id": str(i), "split": "test" if i < 6 else "held_out"} for i in range(10)]
    right = {
        "published": [False] * 10,
        "taught": [True] * 6 + [True, False, False, False],
        "preferred": [True] * 6 + [False, True, False, False],
    }
    responses = dict.fromkeys(right, rows)
    result = gains(responses, right, EVALUATE)
    assert result["taught - published"]["test"] == {"mean": 1.0, "low": 1.0, "high": 1.0}
    assert result["taught - published"]["held_out"]["mean"] == 0.25
    moved = result["preferred - taught"]["held_out"]
    assert moved["mean"] == 0 and moved["low"] < 0 < moved["high"]


def test_the_words_follow_the_intervals() -> None:
    result = found()
    gap = {"mean": 0.2, "low": 0.1, "high": 0.3}
    none = {"mean": 0.0, "low": -0.1, "high": 0.1}
    result["gains"] = {
        "taught - published": {"test": gap, "held_out": none},
        "preferred - taught": {"test": none, "held_out": none},
    }
    said = conclusions(result)
    assert (
        "+20.0 (+10.0 to +30.0) points on unseen instances; +0.0 (-10.0 to +10.0) points on families held out, not"
        in said[0]
    )
    assert "2 of which are in its training set word for word" in said[-1]
    assert "98.67%" in said[-1]


def test_a_judge_has_a_column_of_its_own() -> None:
    result = found()
    scores = {name: {"mean": 10.0 * i, "apart": float(i), "instances": 9} for i, name in enumerate(TITLES)}
    result |= {"judge": {"judge": "wise", "scores": scores}, "gains": {}}
    assert rows_of(result)[-1][-1] == "50.0 of 100"
    assert any(
        "wise as judge: two of its scores for one answer are up to 5.0 points apart" in s
        for s in conclusions(result)
    )
