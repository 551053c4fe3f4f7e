import numpy as np
import pytest
from scipy.stats import binomtest, ks_2samp, kstest

from groundup.monitoring.permutation import (
    FOLDS,
    corrected,
    ks_distance,
    mean_difference,
    permuted,
    stratified_folds,
)


def members(rng: np.random.Generator, n: int, total: int, permutations: int = 20) -> np.ndarray:
    window = np.arange(total) >= total - n
    return permuted(window, stratified_folds(window, rng), permutations, rng)


@pytest.mark.parametrize("decimals", [1, 12])  # with and without ties
def test_the_distance_is_that_of_scipy(decimals: int) -> None:
    rng = np.random.default_rng(1)
    values = np.round(rng.normal(size=83), decimals)
    member = members(rng, 30, 83)
    expected = [ks_2samp(values[row], values[~row]).statistic for row in member]
    np.testing.assert_allclose(ks_distance(values, member), expected)


def test_the_difference_of_means() -> None:
    rng = np.random.default_rng(2)
    values, member = rng.normal(size=50), members(rng, 10, 50)
    expected = [values[row].mean() - values[~row].mean() for row in member]
    np.testing.assert_allclose(mean_difference(values, member), expected)


def test_every_fold_keeps_its_share_of_the_window() -> None:
    rng = np.random.default_rng(3)
    window = np.arange(97) >= 60
    folds = stratified_folds(window, rng)
    member = permuted(window, folds, 50, rng)
    np.testing.assert_array_equal(member[0], window)
    for fold in range(FOLDS):
        counts = member[:, folds == fold].sum(axis=1)
        assert len(set(counts.tolist())) == 1 and abs(counts[0] - 37 / FOLDS) < 1
    assert len({row.tobytes() for row in member}) > 45


def by_definition(statistics: np.ndarray) -> list[float]:
    """Return the corrected p-values of the step-down minP procedure, with loops."""
    tests, rows = statistics.shape
    p = [[float(np.mean(row >= row[r])) for r in range(rows)] for row in statistics]
    order = sorted(range(tests), key=lambda t: p[t][0])
    found, before = {}, 0.0
    for place, test in enumerate(order):
        smallest = [min(p[t][r] for t in order[place:]) for r in range(rows)]
        before = max(before, sum(value <= p[test][0] for value in smallest) / rows)
        found[test] = before
    return [found[t] for t in range(tests)]


def test_the_correction_follows_its_definition() -> None:
    rng = np.random.default_rng(4)
    for _ in range(20):
        statistics = np.round(rng.normal(size=(5, 40)), 1)
        statistics[:2, 0] += 2
        p, found = corrected(statistics)
        np.testing.assert_allclose(p, [np.mean(row >= row[0]) for row in statistics])
        np.testing.assert_allclose(found, by_definition(statistics))


def test_equal_tests_cost_nothing() -> None:
    """Bonferroni and Holm would multiply the p-value by the number of tests."""
    row = np.random.default_rng(5).normal(size=200)
    p, found = corrected(np.stack([row] * 9))
    np.testing.assert_allclose(found, p)


def test_the_smallest_corrected_p_value_is_uniform_if_nothing_has_changed() -> None:
    rng = np.random.default_rng(6)
    smallest = []
    for _ in range(400):
        values = rng.normal(size=(60, 3)) @ np.array([[1, 0.9, 0], [0, 0.4, 0], [0, 0, 1]])  # correlated
        member = members(rng, 20, 60, 99)
        smallest.append(corrected(np.stack([ks_distance(column, member) for column in values.T]))[1].min())
    for rate in (0.05, 0.1, 0.2):
        assert binomtest(int(np.sum(np.array(smallest) <= rate)), 400, rate).pvalue > 0.001
    assert kstest(smallest, "uniform").pvalue > 0.001
