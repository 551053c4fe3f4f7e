"""Permutation tests of two samples, corrected for the number of tests.

All tests share the same permutations, so the correction accounts for how the tests depend on each other: the
probability of a false alarm is the stated one (ties lower it a little), not far below it as with Bonferroni or Holm.
The only assumption is that the messages of both samples are exchangeable if nothing has changed, which is why near
duplicates are left out (see `samples`).

Legend: N messages of both samples; R rows of memberships: the observed one, then the permuted ones; T tests.
`member` (R, N): True for the messages of the window; the same number in every row.
"""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Members = npt.NDArray[np.bool_]

FOLDS = 5
DIGITS = 10  # statistics that are equal up to rounding errors are ties


def stratified_folds(window: Members, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Assign each message a random fold (N,), so that every fold has the same share of the window's messages."""
    folds = np.empty(len(window), dtype=np.int64)
    for sample in (np.flatnonzero(window), np.flatnonzero(~window)):
        folds[sample] = rng.permutation(np.arange(len(sample)) % FOLDS)
    return folds


def permuted(
    window: Members, folds: npt.NDArray[np.int64], permutations: int, rng: np.random.Generator
) -> Members:
    """Return the memberships (R, N): `window` (N,), then `permutations` random permutations of it within each fold."""
    member = np.repeat(window[None], permutations + 1, axis=0)
    for fold in range(FOLDS):
        inside = np.flatnonzero(folds == fold)
        member[1:, inside] = rng.permuted(member[1:, inside], axis=1)
    return member


def ks_distance(values: Array, member: Members) -> Array:
    """Return the Kolmogorov-Smirnov distance of the two samples, (R,), 0 to 1.

    It is the largest distance between the cumulative distributions, as in `scipy.stats.ks_2samp`.
    """
    order = np.argsort(values, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(values[order])), len(order) - 1)  # the last of equal values
    below = np.cumsum(member[:, order], axis=1, dtype=np.int32)[:, ends]
    n = np.count_nonzero(member[0])
    distance = below / n - (ends + 1 - below) / (len(values) - n)
    largest: Array = np.abs(distance, out=distance).max(axis=1)
    return largest


def mean_difference(values: Array, member: Members) -> Array:
    """Return the mean of the window minus that of the reference, (R,)."""
    n = np.count_nonzero(member[0])
    inside = member @ values
    difference: Array = inside / n - (values.sum() - inside) / (len(values) - n)
    return difference


def corrected(statistics: Array) -> tuple[Array, Array]:
    """Return the p-value of each test, (T,), and the p-value corrected for all tests, (T,).

    The p-value is the share of the rows with at least the observed statistic. The correction is the step-down minP
    procedure of Westfall and Young 1993 (algorithm 2.8; Ge, Dudoit and Speed 2003, box 3): the share of the rows in
    which the smallest p-value of this and all less significant tests is at most as large. If nothing has changed, the
    smallest corrected p-value is at most a with probability a, less what ties take.

    Args:
        statistics: (T, R), larger = more different.
    """
    from scipy.stats import rankdata

    p = rankdata(-np.round(statistics, DIGITS), method="max", axis=1) / statistics.shape[1]  # (T, R)
    order = np.argsort(p[:, 0], kind="stable")
    lowest = np.minimum.accumulate(p[order[::-1]], axis=0)[::-1]
    stepped = np.maximum.accumulate((lowest <= p[order, :1]).mean(axis=1))
    return p[:, 0], stepped[np.argsort(order)]
