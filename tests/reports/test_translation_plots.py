import numpy as np
import pytest

from groundup.evaluation.word_alignment import learn, words_of
from groundup.reports.translation_plots import model1_map, training_curve


def test_train_is_averaged_and_val_stands_where_it_was_measured() -> None:
    history = [
        {"step": step, "train/loss": 3.0 - step / 100, "val/loss": float("nan")} for step in range(1, 101)
    ]
    history[49]["val/loss"], history[99]["val/loss"] = 2.6, 2.2
    [axes] = training_curve(history, average=2).axes
    train, val = axes.lines
    assert list(train.get_ydata()) == pytest.approx([2.99, *(3.005 - step / 100 for step in range(2, 101))])
    assert (list(val.get_xdata()), list(val.get_ydata())) == ([50, 100], [2.6, 2.2])
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("step", "nats a token")


def test_the_map_of_model_1_is_its_posterior() -> None:
    sentences = [("thou art", "you are"), ("thou", "you"), ("art he", "are he")]
    table = learn([(words_of(source), words_of(target)) for source, target in sentences], 5)
    [axes] = model1_map(table, "thou art", "you are").axes
    assert np.array_equal(axes.images[0].get_array(), table.posterior(["thou", "art"], ["you", "are"]))
    assert [label.get_text() for label in axes.get_xticklabels()] == ["thou", "art", "NULL"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["you", "are"]
