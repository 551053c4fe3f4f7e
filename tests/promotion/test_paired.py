"""Paired statistics against published values, exact sums, a jackknife and the metrics of evaluation."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.special import expit

from groundup.evaluation.metrics import Bootstrap, paired_difference
from groundup.promotion.paired import (
    Documents,
    Pairs,
    bits_gain,
    bootstrap_gains,
    detectable_bits,
    documents_needed,
    gain_interval,
    mcnemar,
)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=20))
def test_counts_equal_a_loop(rows: list[tuple[bool, bool]]) -> None:
    champion, challenger = (np.array(column) for column in zip(*rows, strict=True))
    pairs = Pairs.of(champion, challenger)
    assert pairs == Pairs(
        rows.count((True, True)),
        rows.count((False, True)),
        rows.count((True, False)),
        rows.count((False, False)),
    )
    assert pairs.gain == pytest.approx(challenger.mean() - champion.mean())
    assert (pairs.champion, pairs.challenger) == (champion.mean(), challenger.mean())


@given(st.integers(0, 40), st.integers(0, 40))
def test_mcnemar_equals_the_sum_of_binomial_coefficients(wins: int, losses: int) -> None:
    n = wins + losses
    tail = sum(math.comb(n, k) for k in range(wins, n + 1)) / 2**n
    other = sum(math.comb(n, k) for k in range(wins + 1)) / 2**n
    assert mcnemar(wins, losses, "better") == pytest.approx(tail)
    assert mcnemar(wins, losses, "worse") == pytest.approx(other)
    assert mcnemar(wins, losses, "different") == pytest.approx(min(1.0, 2 * min(tail, other)))


@pytest.mark.parametrize(
    ("table", "low", "high"),
    [
        # Cavo et al. 2012 and Bentur et al. 2009 as in Fagerland, Lydersen and Laake, Statistical Analysis of
        # Contingency Tables (2017), chapter 8, Newcombe's square-and-add interval
        (Pairs(59, 6, 16, 80), -0.1186, -0.0046),
        (Pairs(1, 1, 7, 12), -0.507, -0.026),
    ],
)
def test_interval_as_published(table: Pairs, low: float, high: float) -> None:
    assert gain_interval(table, 0.95) == (pytest.approx(low, abs=5e-4), pytest.approx(high, abs=5e-4))


@given(st.tuples(*[st.integers(0, 30)] * 4).filter(any), st.floats(0.6, 0.99))
def test_interval_contains_the_gain_and_is_antisymmetric(counts: tuple[int, ...], confidence: float) -> None:
    both, wins, losses, neither = counts
    pairs = Pairs(both, wins, losses, neither)
    low, high = gain_interval(pairs, confidence)
    assert -1 <= low <= pairs.gain <= high <= 1 and low < high
    swapped = gain_interval(Pairs(both, losses, wins, neither), confidence)
    assert swapped == (pytest.approx(-high), pytest.approx(-low))


def test_interval_covers_the_truth() -> None:
    rng = np.random.default_rng(0)
    draws = rng.multinomial(300, (0.88, 0.06, 0.03, 0.03), size=1000)
    inside = [low <= 0.03 <= high for low, high in (gain_interval(Pairs(*map(int, d)), 0.95) for d in draws)]
    assert 0.93 <= np.mean(inside) <= 0.98


def test_bootstrap_equals_the_paired_difference_of_the_metrics() -> None:
    rng = np.random.default_rng(3)
    truth = (rng.random(300) < 0.3).astype(int)
    champion, challenger = (np.clip(truth * 0.6 + rng.normal(0.2, 0.25, 300), 0, 1) for _ in range(2))
    bootstrap = Bootstrap(400, 0.9, 7)
    found = bootstrap_gains(truth, champion, challenger, bootstrap)
    reference = paired_difference(truth, challenger >= 0.5, champion >= 0.5, bootstrap)
    for name in ("mcc", "f1"):
        assert found[name] == pytest.approx(reference[name], abs=1e-6)
    same = bootstrap_gains(truth, champion, champion, bootstrap)
    assert same["ece"] == {"mean": 0.0, "low": 0.0, "high": 0.0, "significant": False}


def test_a_rise_of_the_calibration_error_is_hardly_hidden_by_its_bias() -> None:
    """The challenger's log odds are three times too large. A percentile interval has the rise once in five times."""
    rng, bootstrap = np.random.default_rng(4), Bootstrap(100, 0.95, 1)

    def rise(n: int) -> dict[str, float]:
        log_odds = rng.normal(-3.5, 3.5, n)
        champion, challenger = expit(log_odds), expit(3 * log_odds)
        return bootstrap_gains((rng.random(n) < champion).astype(int), champion, challenger, bootstrap)["ece"]

    found = [rise(1000) for _ in range(100)]
    true = 0.062  # of 400,000 rows
    assert np.mean([entry["mean"] for entry in found]) == pytest.approx(true, rel=0.2)
    assert np.mean([entry["low"] <= true <= entry["high"] for entry in found]) > 0.6


def documents(rng: np.random.Generator, n: int, saved: float = 0.0, shape: float | None = None) -> Documents:
    """Draw documents of unequal length; the challenger saves `saved` nats per byte on average.

    shape: of the gamma distribution of the differences, whose skewness is 2 / sqrt(shape); None: normal.
    """
    n_bytes = rng.lognormal(6, 0.6, n).round()
    noise = rng.normal(size=n) if shape is None else (rng.gamma(shape, 1, n) - shape) / shape**0.5
    champion = 1.5 * n_bytes + rng.normal(0, 3, n) * n_bytes**0.5
    return Documents(champion, champion - saved * n_bytes - 0.5 * noise * n_bytes**0.5, n_bytes)


def test_bits_are_a_ratio_of_sums_with_the_jackknife_s_error() -> None:
    pairs = documents(np.random.default_rng(1), 200, 0.01)
    found = bits_gain(pairs)
    before, after = pairs.bits
    assert before == pytest.approx(pairs.champion.sum() / math.log(2) / pairs.n_bytes.sum())
    assert found.gain == pytest.approx(before - after)
    saved = (pairs.champion - pairs.challenger) / math.log(2)
    without = (saved.sum() - saved) / (pairs.n_bytes.sum() - pairs.n_bytes)  # one document left out
    jackknife = math.sqrt(199 / 200 * np.sum((without - without.mean()) ** 2))
    assert found.error == pytest.approx(jackknife, rel=0.02)


def test_with_equal_lengths_it_is_close_to_student_s_t() -> None:
    rng = np.random.default_rng(2)
    champion = rng.normal(600, 30, 150)
    challenger = champion - rng.normal(1, 5, 150)
    found = bits_gain(Documents(champion, challenger, np.full(150, 400.0)))
    reference = stats.ttest_rel(champion, challenger, alternative="greater")
    assert found.error * math.log(2) * 400 == pytest.approx(stats.sem(champion - challenger))
    interval = stats.ttest_rel(champion, challenger).confidence_interval(0.95)
    assert np.array(found.interval(0.95)) * math.log(2) * 400 == pytest.approx(np.array(interval))
    assert found.better == pytest.approx(reference.pvalue, rel=0.3)
    assert found.worse == pytest.approx(1 - reference.pvalue, rel=0.1)


@pytest.mark.parametrize("side", ["better", "worse"])
@pytest.mark.parametrize("shape", [None, 4.0])  # symmetric, and skewness 1
def test_equal_models_are_told_apart_at_the_level_at_most(side: str, shape: float | None) -> None:
    rng = np.random.default_rng(5)
    values = np.array([getattr(bits_gain(documents(rng, 200, 0.0, shape)), side) for _ in range(4000)])
    for level in (0.05, 0.01):  # about 200 and 40 rejections, so the bounds are four standard errors wide
        assert np.mean(values <= level) <= level * 1.15 + 4 * (level / 4000) ** 0.5


def test_power_of_the_documents() -> None:
    """Challengers that are better by the detectable gain are found with the stated power."""
    rng = np.random.default_rng(6)
    detectable = detectable_bits(bits_gain(documents(rng, 200)), 0.001, 0.9)
    assert detectable is not None
    found = [bits_gain(documents(rng, 200, detectable * math.log(2))).better <= 0.001 for _ in range(500)]
    assert 0.82 <= np.mean(found) <= 0.97  # the stated gain depends on the spread of other documents


def test_the_documents_needed_would_make_the_gain_detectable() -> None:
    found = bits_gain(documents(np.random.default_rng(7), 100, 0.003))
    needed = documents_needed(found, 0.001, 0.9)
    assert needed > 100
    more = replace(found, documents=needed, error=found.error * (100 / needed) ** 0.5)
    assert detectable_bits(more, 0.001, 0.9) == pytest.approx(found.gain, rel=0.01)
    assert detectable_bits(replace(found, documents=20), 1e-6, 0.9) is None


def test_the_same_difference_in_every_byte() -> None:
    n_bytes = np.arange(100.0, 120.0)
    same = bits_gain(Documents(n_bytes, n_bytes, n_bytes))
    assert (same.gain, same.better, same.worse) == (0.0, 1.0, 1.0)
    better = bits_gain(Documents(2.0 * n_bytes, 1.0 * n_bytes, n_bytes))
    assert better.gain == pytest.approx(1 / math.log(2))
    assert better.better < 1e-5 and better.worse == pytest.approx(1.0, abs=1e-5)
