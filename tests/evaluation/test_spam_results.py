from dataclasses import replace

import numpy as np
import pytest

from groundup.evaluation.baselines import NAMES
from groundup.evaluation.predictions import write_predictions
from groundup.evaluation.spam_results import collect, table
from tests.tiny import EVALUATE

CONFIG = replace(EVALUATE, bootstrap_samples=200)
TEST = [
    {"id": f"t{i}", "label": label, "text": text}
    for i, (label, text) in enumerate(
        [("spam", "win cash"), ("ham", "hello you"), ("ham", "see you"), ("spam", "cash now")]
    )
]
TRAIN = [{"id": f"a{row['id']}", "label": row["label"], "text": row["text"] + " today"} for row in TEST]


def write(path, seeds):
    found = {(seed, "test"): probabilities for seed, probabilities in seeds.items()}
    write_predictions(path, {"test": TEST}, found)
    return path


def test_table_by_hand(tmp_path):
    path = write(tmp_path / "p.csv", {1: (0.9, 0.1, 0.5, 0.8), 2: (0.9, 0.1, 0.2, 0.3)})
    answers = collect(TRAIN, TEST, path)
    assert answers.pred.tolist() == [[1, 0, 1, 1], [1, 0, 0, 0]]  # 0.5 counts as spam
    found = table(answers, CONFIG)
    assert found["per_seed"]["1"]["accuracy"] == found["per_seed"]["2"]["accuracy"] == 0.75
    assert found["test"]["accuracy"]["mean"] == 0.75
    assert found["test"]["f1"]["mean"] == pytest.approx((0.8 + 2 / 3) / 2, abs=1e-6)
    assert found["items"] == {"ham": 2, "spam": 2}
    assert set(found["baselines"]) == set(found["difference"]) == set(NAMES)
    assert found["baselines"]["majority"]["accuracy"]["mean"] == 0.5
    assert found["difference"]["majority"]["accuracy"]["mean"] == 0.25
    assert "brier" in found["baselines"]["naive_bayes"] and "brier" not in found["baselines"]["char_svm"]


def test_baselines_are_fitted_on_train_only(tmp_path):
    path = write(tmp_path / "p.csv", {1: (0, 0, 0, 0)})
    flipped = [row | {"label": "ham" if row["label"] == "spam" else "spam"} for row in TEST]
    first, second = collect(TRAIN, TEST, path), collect(TRAIN, flipped, path)
    for name in NAMES:
        assert np.array_equal(first.baselines[name].pred, second.baselines[name].pred)
