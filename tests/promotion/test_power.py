"""Power against a sum over all outcomes, and its two inversions against power itself."""

import pytest
from scipy.stats import binomtest, multinomial

from groundup.promotion.power import detectable_difference, power, rows_needed

LEVEL = 0.05 / 54


@pytest.mark.parametrize(
    ("rows", "share", "difference", "level"),
    [(12, 0.5, 0.4, 0.05), (25, 0.3, 0.1, 0.1), (20, 0.3, 0.6, 0.01), (4, 0.5, 0.5, 0.05)],
)
def test_power_is_the_sum_over_all_outcomes(rows: int, share: float, difference: float, level: float) -> None:
    share_used = max(share, difference)
    wins, losses = (share_used + difference) / 2, (share_used - difference) / 2
    outcomes = multinomial(rows, [wins, losses, 1 - wins - losses])
    expected = sum(
        outcomes.pmf([b, c, rows - b - c])
        for b in range(rows + 1)
        for c in range(rows + 1 - b)
        if b + c and binomtest(b, b + c, 0.5, "greater").pvalue <= level
    )
    assert power(rows, share, difference, level) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("rows", [50, 513, 5000])
@pytest.mark.parametrize("share", [0.001, 0.03, 0.3])
def test_the_detectable_difference_has_the_wanted_power(rows: int, share: float) -> None:
    found = detectable_difference(rows, share, LEVEL, 0.9)
    assert found is not None
    assert power(rows, share, found, LEVEL) == pytest.approx(0.9, abs=1e-3)
    assert power(rows, share, 0.9 * found, LEVEL) < 0.9


def test_ten_rows_are_too_few() -> None:
    """Ten wins of ten have a probability of 1/1024, which is more than the level; eleven of eleven are enough."""
    assert detectable_difference(10, 0.1, LEVEL, 0.9) is None
    assert detectable_difference(11, 0.1, LEVEL, 0.9) == pytest.approx(0.9 ** (1 / 11), abs=1e-4)
    assert detectable_difference(0, 0.0, LEVEL, 0.9) is None
    assert detectable_difference(1000, 0.1, 0.0, 0.9) is None


@pytest.mark.parametrize("share", [0.01, 0.03, 0.1, 0.3])
@pytest.mark.parametrize("difference", [0.002, 0.01, 0.03])
def test_the_rows_needed_are_about_enough(share: float, difference: float) -> None:
    needed = rows_needed(share, difference, LEVEL, 0.9)
    assert needed is not None
    assert power(needed, share, difference, LEVEL) >= 0.88
    assert power(int(0.7 * needed), share, difference, LEVEL) < 0.9
    assert rows_needed(share, difference, 0.0, 0.9) is None
