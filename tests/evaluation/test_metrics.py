import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as reference

from groundup.errors import BadInput
from groundup.evaluation.metrics import (
    DECISION,
    PROBABILITY,
    RANKING,
    Bootstrap,
    calibration_bins,
    paired_difference,
    score,
    seed_interval,
)

BOOT = Bootstrap(samples=500, confidence=0.95, seed=1)


def value(name, truth, answers):
    metric = (DECISION | RANKING | PROBABILITY)[name]
    return metric(np.array(truth), np.array(answers), np.ones((1, len(truth))))[0]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("accuracy", 0.7),
        ("precision", 0.75),
        ("recall", 0.6),
        ("f1", 2 / 3),
        ("mcc", (3 * 4 - 1 * 2) / 600**0.5),
    ],
)
def test_decisions_by_hand(name, expected):
    truth = [1, 1, 1, 1, 1, 0, 0, 0, 0, 0]
    pred = [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]  # tp 3, fp 1, fn 2, tn 4
    assert value(name, truth, pred) == pytest.approx(expected)


items = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 9), st.integers(1, 3)), min_size=2, max_size=30)


@given(items)
def test_everything_equals_scikit_learn_with_ties_and_weights(rows):
    truth, tenths, counts = (np.array(column) for column in zip(*rows, strict=True))
    prob, pred = tenths / 9, (tenths >= 5).astype(int)
    w = counts[None, :].astype(float)
    kw = {"sample_weight": counts}
    assert DECISION["accuracy"](truth, pred, w)[0] == pytest.approx(
        reference.accuracy_score(truth, pred, **kw)
    )
    for name, function in (
        ("precision", reference.precision_score),
        ("recall", reference.recall_score),
        ("f1", reference.f1_score),
    ):
        assert DECISION[name](truth, pred, w)[0] == pytest.approx(
            function(truth, pred, zero_division=0, **kw)
        )
    if 0 < truth.sum() < len(truth):
        assert DECISION["mcc"](truth, pred, w)[0] == pytest.approx(
            reference.matthews_corrcoef(truth, pred, **kw)
        )
        assert RANKING["roc_auc"](truth, prob, w)[0] == pytest.approx(
            reference.roc_auc_score(truth, prob, **kw)
        )
        assert RANKING["pr_auc"](truth, prob, w)[0] == pytest.approx(
            reference.average_precision_score(truth, prob, **kw)
        )
        assert PROBABILITY["brier"](truth, prob, w)[0] == pytest.approx(
            reference.brier_score_loss(truth, prob, **kw)
        )
    else:
        assert DECISION["mcc"](truth, pred, w)[0] == 0
        assert RANKING["roc_auc"](truth, prob, w)[0] == 0.5


@given(items)
def test_weights_equal_repeated_items(rows):
    truth, tenths, counts = (np.array(column) for column in zip(*rows, strict=True))
    prob, pred = tenths / 9, (tenths >= 5).astype(int)
    w = counts[None, :].astype(float)
    for metrics, answers in ((DECISION, pred), (RANKING, prob), (PROBABILITY, prob)):
        for name, metric in metrics.items():
            repeated = value(name, np.repeat(truth, counts), np.repeat(answers, counts))
            assert metric(truth, answers, w)[0] == pytest.approx(repeated)


def test_calibration_by_hand():
    truth, prob = np.array([0, 1, 1, 1]), np.array([0.05, 0.05, 0.95, 1.0])
    bins = calibration_bins(truth, prob)
    assert [b["count"] for b in bins] == [2, 2]
    assert [b["share"] for b in bins] == [0.5, 1.0]
    assert value("ece", truth, prob) == pytest.approx((2 * 0.45 + 2 * 0.025) / 4)
    assert value("brier", truth, prob) == pytest.approx((0.0025 + 0.9025 + 0.0025 + 0) / 4)


def test_intervals_cover_the_truth_at_their_confidence_level():
    rng = np.random.default_rng(0)
    n, covered = 200, 0
    boot = Bootstrap(samples=300, confidence=0.9, seed=5)
    for _ in range(200):
        right = rng.random(n) < 0.8
        entry = score(np.ones(n, int), boot, pred=right.astype(int))["accuracy"]
        covered += entry["low"] <= 0.8 <= entry["high"]
    assert 0.84 <= covered / 200 <= 0.96


def test_interval_of_accuracy_equals_the_binomial_one():
    truth = np.ones(1000, int)
    pred = (np.arange(1000) < 900).astype(int)
    entry = score(truth, Bootstrap(4000, 0.95, 3), pred=pred)["accuracy"]
    half = 1.96 * (0.9 * 0.1 / 1000) ** 0.5
    assert entry["mean"] == 0.9
    assert entry["low"] == pytest.approx(0.9 - half, abs=0.002)
    assert entry["high"] == pytest.approx(0.9 + half, abs=0.002)


def test_the_mean_is_over_seeds_and_draws_do_not_depend_on_chunks(monkeypatch):
    rng = np.random.default_rng(1)
    truth, pred = rng.integers(0, 2, 50), rng.integers(0, 2, (3, 50))
    table = score(truth, BOOT, pred=pred)
    assert table["f1"]["mean"] == pytest.approx(np.mean([value("f1", truth, row) for row in pred]), abs=1e-6)
    monkeypatch.setattr("groundup.evaluation.metrics.CHUNK_CELLS", 700)
    assert score(truth, BOOT, pred=pred) == table


def test_scores_without_probabilities_have_no_calibration():
    table = score(np.array([0, 1, 1]), BOOT, pred=np.array([0, 1, 0]), ranking=np.array([-1.0, 2.0, 0.0]))
    assert set(table) == set(DECISION) | set(RANKING)


def test_paired_difference_is_narrower_and_signed():
    rng = np.random.default_rng(2)
    truth = rng.integers(0, 2, 400)
    theirs = np.where(rng.random(400) < 0.1, 1 - truth, truth)
    ours = theirs.copy()
    wrong = np.flatnonzero(ours != truth)
    ours[wrong[: len(wrong) // 2]] = truth[
        wrong[: len(wrong) // 2]
    ]  # right wherever the other system is, and more often
    difference = paired_difference(truth, ours, theirs, BOOT)["accuracy"]
    single = score(truth, BOOT, pred=ours)["accuracy"]
    assert difference["low"] > 0 and difference["significant"]
    assert difference["mean"] == pytest.approx(np.mean(ours == truth) - np.mean(theirs == truth), abs=1e-6)
    assert difference["high"] - difference["low"] < 1.5 * (single["high"] - single["low"])
    same = paired_difference(truth, ours, ours, BOOT)["mcc"]
    assert same == {"mean": 0.0, "low": 0.0, "high": 0.0, "significant": False}


def test_interval_over_seeds_equals_student_s():
    values = [0.91, 0.94, 0.9, 0.97, 0.93]
    found = seed_interval(values, 0.9)
    low, high = stats.t.interval(0.9, df=4, loc=np.mean(values), scale=stats.sem(values))
    assert found == pytest.approx({"mean": 0.93, "low": low, "high": high}, abs=1e-6)
    assert seed_interval([0.5, 0.5], 0.95) == {"mean": 0.5, "low": 0.5, "high": 0.5}


def test_one_seed_has_no_interval():
    with pytest.raises(BadInput, match=r"found 1 seed.* at least 2"):
        seed_interval([0.9], 0.95)
