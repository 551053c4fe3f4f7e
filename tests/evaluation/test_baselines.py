import numpy as np
import pytest

from groundup.evaluation.baselines import NAMES, TITLES, fit_predict

TEXTS = ["win cash now", "free cash prize", "lunch at noon", "see you at home", "call me at home"] * 4
LABELS = [1, 1, 0, 0, 0] * 4


@pytest.mark.parametrize("name", NAMES)
def test_every_baseline_predicts_every_text(name):
    found = fit_predict(name, TEXTS, LABELS, ["free cash now", "lunch at home", "zzz"])
    assert found.pred.shape == found.ranking.shape == (3,)
    assert set(found.pred) <= {0, 1}
    if found.prob is not None:
        assert ((found.prob >= 0) & (found.prob <= 1)).all()
    expected = [0, 0] if name == "majority" else [1, 0]
    assert list(found.pred[:2]) == expected
    assert name in TITLES


def test_naive_bayes_by_hand():
    # classes: ham "a a b", spam "b b c"; words a, b, c; Laplace smoothing 1; equal priors
    found = fit_predict("naive_bayes", ["aa aa bb", "bb bb cc"], [0, 1], ["aa", "bb", "cc cc"])
    ham = np.array([3 / 6, 2 / 6, (1 / 6) ** 2])
    spam = np.array([1 / 6, 3 / 6, (2 / 6) ** 2])
    assert found.prob == pytest.approx(spam / (spam + ham))


def test_the_svm_s_ranking_and_decisions_agree():
    found = fit_predict("char_svm", TEXTS, LABELS, TEXTS[:5])
    assert found.prob is None
    assert ((found.ranking > 0) == found.pred.astype(bool)).all()


@pytest.mark.parametrize("name", NAMES)
def test_predictions_are_deterministic(name):
    runs = [fit_predict(name, TEXTS, LABELS, TEXTS).ranking for _ in range(2)]
    assert (runs[0] == runs[1]).all()
