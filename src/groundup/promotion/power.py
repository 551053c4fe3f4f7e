"""What the exact one-sided McNemar test can show: its power, the smallest difference it detects, the rows it needs.

Legend: `rows`: number of gate rows. `share`: share of them on which exactly one of the two models is right (the
discordant rows). `difference`: share of rows that the challenger gains minus the share that it loses. `level`: level of
the test.

The number of discordant rows is Binomial(rows, share), and the challenger wins each with probability
(1 + difference / share) / 2. A difference cannot be larger than `share`. If it is, `share` is raised to it, and the
challenger wins all discordant rows.
"""

import math
from functools import lru_cache

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtri
from scipy.stats import binom

# Standard deviations around the mean number of discordant rows; what is outside weighs less than 1e-14.
REACH = 8


@lru_cache(maxsize=2**16)
def power(rows: int, share: float, difference: float, level: float) -> float:
    """Return the exact probability that the test finds a positive difference."""
    share = min(1.0, max(share, difference))
    mean, spread = rows * share, (rows * share * (1 - share)) ** 0.5
    low, high = max(0, int(mean - REACH * spread - REACH)), min(rows, int(mean + REACH * spread + REACH) + 1)
    discordant = np.arange(low, high + 1)
    needed = binom.isf(level, discordant, 0.5) + 1  # the fewest wins that are significant
    wins = binom.sf(needed - 1, discordant, min(1.0, (1 + difference / share) / 2))
    return float(binom.pmf(discordant, rows, share) @ wins)


@lru_cache(maxsize=2**16)
def detectable_difference(rows: int, share: float, level: float, wanted: float) -> float | None:
    """Return the smallest difference that the test finds with probability `wanted` on these rows.

    None: there is no such difference, because even a win on every row would not be significant.
    """
    if not rows or not level or power(rows, share, 1.0, level) < wanted:
        return None
    return float(brentq(lambda d: power(rows, share, d, level) - wanted, 1e-9, 1.0, xtol=1e-6))


def rows_needed(share: float, difference: float, level: float, wanted: float) -> int | None:
    """Return about how many rows the test needs to find a positive difference with probability `wanted`.

    This is the normal approximation of Connor (1987, Biometrics 43:207), with the continuity correction that Fleiss,
    Tytun and Ury (1980, Biometrics 36:343) give for two proportions. It is within a few percent of the exact number,
    and above it if the challenger wins nearly all discordant rows. None: the level is 0.
    """
    if not level:
        return None
    share = max(share, difference)
    noise = ndtri(1 - level) * share**0.5 + ndtri(wanted) * (share - difference**2) ** 0.5
    rows = (noise / difference) ** 2
    return math.ceil(rows / 4 * (1 + (1 + 2 / (rows * difference)) ** 0.5) ** 2)
