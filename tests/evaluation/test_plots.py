import numpy as np
import pytest

from groundup.evaluation import figures, plots
from groundup.evaluation.baselines import Predictions
from groundup.evaluation.spam_results import Answers, table
from tests.tiny import EVALUATE


def answers():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 60)
    prob = np.clip(truth * 0.5 + rng.random((2, 60)) * 0.6, 0, 1)
    names = ("majority", "naive_bayes", "logistic_regression", "char_svm")
    pred = (prob[0] > 0.5).astype(int)
    others = {name: Predictions(pred, prob[0], None if name == "char_svm" else prob[0]) for name in names}
    return Answers(truth, (1, 2), prob, others)


def share(mean):
    return {"mean": mean, "low": max(0, mean - 0.1), "high": min(1, mean + 0.1)}


FAMILIES = {
    f"f{i}": {"exact_match": share(i / 4), "before": share(0.0), "held_out": i == 2, "instances": 9}
    for i in range(4)
}
CURVES = {
    "pretrain": [
        {"step": s, "train/loss": 9 - s, "val/loss": 8.5 - s if s % 2 else float("nan")} for s in range(4)
    ],
    "finetune_spam": [
        {"step": s, "seed": seed, "train/loss": 1 / (s + seed)} for seed in (1, 2) for s in range(4)
    ],
}
FIGURES = {
    "confusion": lambda: plots.confusion_matrix(answers()),
    "roc_pr": lambda: plots.roc_and_precision_recall(answers()),
    "calibration": lambda: plots.calibration(answers()),
    "comparison": lambda: plots.spam_comparison(table(answers(), EVALUATE)),
    "loss": lambda: plots.loss_curves(CURVES),
    "families": lambda: plots.exact_match_by_family(FAMILIES),
}


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.filterwarnings("error")
def test_equal_data_give_equal_bytes(tmp_path, name):
    for suffix in ("png", "svg"):
        for run in (1, 2):
            figures.save(FIGURES[name](), tmp_path / f"{run}.{suffix}")
        first, second = ((tmp_path / f"{run}.{suffix}").read_bytes() for run in (1, 2))
        assert first == second


def test_confusion_shows_the_mean_count_of_seeds():
    two = Answers(np.array([0, 0, 1, 1]), (1, 2), np.array([[0.0, 0.9, 0.9, 0.9], [0, 0, 0.9, 0]]), {})
    texts = [text.get_text() for text in plots.confusion_matrix(two).axes[0].texts]
    assert texts == ["1.5\n75.0%", "0.5\n25.0%", "0.5\n25.0%", "1.5\n75.0%"]


def test_families_are_sorted_and_held_out_ones_come_last():
    axes = plots.exact_match_by_family(FAMILIES).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["f3 (9)", "f1 (9)", "f0 (9)", "f2 (9)"]


def test_a_curve_each_seed_without_gaps():
    pretrain, spam = plots.loss_curves(CURVES).axes
    assert [len(line.get_xdata()) for line in pretrain.lines] == [4, 2]
    assert len(spam.lines) == 2
    assert [text.get_text() for text in spam.get_legend().get_texts()] == ["train"]
