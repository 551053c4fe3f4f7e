"""What the exact one-sided McNemar test can see: its power, the smallest visible difference, the rows that are needed.

Legend: `rows`: number of gate rows. `share`: share of them on which exactly one of the two models is right (the
discordant rows). `difference`: share of rows that the challenger gains minus the share that it loses. `level`: of the
test.

The number of discordant rows is Binomial(rows, share), and the challenger wins each with probability
(1 + difference / share) / 2. A difference above `share` cannot exist at that share; it then takes its own share, and
the challenger wins all discordant rows.
"""

from functools import lru_cache

import numpy as np
from scipy.optimize import brentq
from scipy.stats import binom

MOST_ROWS = 10**8
REACH = (
    8  # standard deviations around the mean number of discordant rows; what is outside weighs less than 1e-14
)


@lru_cache(maxsize=2**16)
def power(rows: int, share: float, difference: float, level: float) -> float:
    """Return the probability that the test rejects, exactly, for a positive difference."""
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


@lru_cache(maxsize=2**16)
def rows_needed(share: float, difference: float, level: float, wanted: float) -> int | None:
    """Return about how many rows the test needs to find the difference with probability `wanted`.

    The power of a discrete test rises with the rows in a saw-tooth, so a few rows more or less can be enough. None:
    more than 100 million.
    """
    if not level:
        return None
    high = 1
    while power(high, share, difference, level) < wanted:
        high *= 2
        if high > MOST_ROWS:
            return None
    low = high // 2
    while high - low > max(1, low // 1000):
        middle = (low + high) // 2
        if power(middle, share, difference, level) < wanted:
            low = middle
        else:
            high = middle
    return high
