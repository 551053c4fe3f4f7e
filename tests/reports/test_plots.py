import numpy as np
import pytest
from matplotlib.text import Text

from groundup.evaluation.baselines import Predictions
from groundup.evaluation.spam_results import Answers, table
from groundup.reports import plots
from groundup.reports import style as figures
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
CURVE = [{"step": s, "train/loss": 9 - s, "val/loss": 8.5 - s if s % 2 else float("nan")} for s in range(4)]
LEARNED = [{"step": s, "grammar/a and an": s / 4, "grammar/reflexive": float("nan")} for s in range(4)]
GRAMMAR = {
    name: {"pairs": 9, "accuracy": {"model": share(mean), "ngrams": share(0.5)}}
    for name, mean in (("reflexive", 0.4), ("a and an", 1.0))
}
FIGURES = {
    "confusion": lambda: plots.confusion_matrix(answers()),
    "roc": lambda: plots.roc(answers()),
    "precision_recall": lambda: plots.precision_recall(answers()),
    "calibration": lambda: plots.calibration(answers()),
    "scores": lambda: plots.spam_scores(table(answers(), EVALUATE), "mcc"),
    "loss": lambda: plots.loss_curve(CURVE, "Pretraining", "nats per token"),
    "grammar": lambda: plots.grammar({"chance": 0.5, "phenomena": GRAMMAR}),
    "grammar learned": lambda: plots.grammar_learned(LEARNED, 0.5),
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


@pytest.mark.parametrize("name", sorted(FIGURES.keys() - {"families"}))
def test_a_figure_is_legible_on_a_phone(name):
    drawing = FIGURES[name]()
    drawing.draw_without_rendering()
    scale = 343 / (drawing.get_figwidth() * 72)  # pixels of a phone's column per point
    texts = [t for t in drawing.findobj(Text) if t.get_visible() and t.get_text()]
    assert len(texts) > 4 and min(text.get_fontsize() * scale for text in texts) >= 9


def test_the_loss_is_pale_below_its_running_mean():
    rows = [
        {"step": s, "train/loss": float(s % 2), "val/loss": 0.5 if s == 50 else np.nan} for s in range(1, 101)
    ]
    [axes] = plots.loss_curve(rows, "Pretraining", "nats per token").axes
    raw, mean, val = axes.lines
    assert list(raw.get_ydata()) == [row["train/loss"] for row in rows] and raw.get_alpha() < 0.5
    assert list(mean.get_ydata()[2:98]) == [0.5] * 96  # of 100 / 25 = 4 values
    assert list(val.get_xdata()) == [50]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["train", "val"]


def test_the_seeds_are_one_line_with_their_range():
    rows = [{"step": s, "seed": seed, "train/loss": float(seed * s)} for seed in (1, 2, 6) for s in (1, 2, 3)]
    rows.append({"step": 4, "seed": 1, "train/loss": 99.0})  # the other seeds ended earlier
    [axes] = plots.loss_curve(rows, "Spam finetuning", "nats per message").axes
    [line], [band] = axes.lines, axes.collections
    assert list(line.get_xdata()) == [1, 2, 3] and list(line.get_ydata()) == [3, 6, 9]
    assert {tuple(point) for point in band.get_paths()[0].vertices} == {
        (s, k * s) for s in (1, 2, 3) for k in (1, 6)
    }
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts == ["lowest to highest seed", "train, mean of 3 seeds"]
