from pathlib import Path

import numpy as np
import pytest

from groundup.errors import BadInput
from groundup.evaluation.baselines import Predictions
from groundup.evaluation.predictions import (
    COLUMNS,
    read_baselines,
    read_predictions,
    write_baselines,
    write_predictions,
)

TEST = [{"id": f"t{i}", "label": label, "text": "any"} for i, label in enumerate(("spam", "ham", "ham"))]
VAL = [{"id": "v", "label": "ham", "text": "any"}]


def test_one_row_per_seed_split_and_message(tmp_path: Path) -> None:
    found = {(7, "val"): [0.25], (7, "test"): [0.5, 1 / 3, 1e-9]}
    write_predictions(tmp_path / "p.csv", {"test": TEST, "val": VAL}, found)
    assert (tmp_path / "p.csv").read_text() == (
        "seed,split,id,label,spam_probability\n"
        "7,val,v,ham,0.250000\n7,test,t0,spam,0.500000\n7,test,t1,ham,0.333333\n7,test,t2,ham,0.000000\n"
    )


def test_predictions_of_each_seed_follow_the_order_of_the_rows(tmp_path: Path) -> None:
    found = {(2, "test"): [0.1, 0.2, 0.3], (1, "val"): [0.9], (1, "test"): [0.4, 0.5, 0.6]}
    write_predictions(tmp_path / "p.csv", {"test": TEST, "val": VAL}, found)
    seeds, prob = read_predictions(tmp_path / "p.csv", TEST[::-1])
    assert seeds == (1, 2)
    assert prob.tolist() == [[0.6, 0.5, 0.4], [0.3, 0.2, 0.1]]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (
            ["1,test,t0,spam,0.1", "1,test,t1,ham,0.1"],
            "predictions of seed 1 for 2 test messages, of which 2 are in",
        ),
        (
            ["1,test,t0,spam,0.1", "1,test,t1,ham,0.1", "1,test,x,ham,0.1"],
            "3 test messages, of which 2 are in",
        ),
        (["1,val,v,ham,0.1"], "no row of the test split"),
    ],
)
def test_predictions_of_another_split_are_rejected(tmp_path: Path, lines: list[str], words: str) -> None:
    (tmp_path / "p.csv").write_text("\n".join([",".join(COLUMNS), *lines]) + "\n")
    with pytest.raises(BadInput, match=words):
        read_predictions(tmp_path / "p.csv", TEST)


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("seed,split,id,label\n")
    with pytest.raises(BadInput, match=r"lacks the columns \['spam_probability'\]"):
        read_predictions(tmp_path / "p.csv", TEST)


def test_predictions_of_baselines_keep_full_precision(tmp_path: Path) -> None:
    prob = np.array([1 / 3, 0.9, 1e-17])
    found = {
        "majority": Predictions(np.array([0, 0, 0]), prob, prob),
        "char_svm": Predictions(np.array([0, 1, 0]), np.array([-0.1, 2 / 3, -7.0]), None),
    }
    write_baselines(tmp_path / "b.csv", TEST, found)
    read = read_baselines(tmp_path / "b.csv", TEST)
    assert list(read) == list(found)
    for name, answers in found.items():
        assert read[name].pred.tolist() == answers.pred.tolist()
        assert read[name].ranking.tolist() == answers.ranking.tolist()
    assert read["majority"].prob is not None and read["majority"].prob.tolist() == prob.tolist()
    assert read["char_svm"].prob is None


def test_predictions_of_baselines_on_another_split_are_rejected(tmp_path: Path) -> None:
    found = {"majority": Predictions(np.zeros(3, dtype=np.int64), np.zeros(3), None)}
    write_baselines(tmp_path / "b.csv", TEST, found)
    with pytest.raises(
        BadInput, match="predictions of majority for 3 messages, not for those of the test split"
    ):
        read_baselines(tmp_path / "b.csv", TEST[::-1])
