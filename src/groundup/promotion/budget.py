"""The error budget: what every look at the gate rows costs, and what a look may spend.

A look is one comparison of a challenger with the champion at a level: the probability that the test promotes a
challenger that is not better. In any 365 days the levels add up to at most `yearly_error`. By the union bound, the
probability of a false promotion in a year is at most that sum. The bound holds however the looks depend on each other,
and they do: they reuse the gate rows and the champion.

A look costs the budget divided by one more than the looks that the schedule has in a year, or half of what is left, if
that is less; what was spent more than 365 days ago has returned. Consequences:

- A schedule alone gets the same level at every look and never runs out. A share of what is left, 1/L with L looks a
  year, would give only half of that level in the long run: of 0.05 and 52 looks, 0.05/104 instead of 0.05/53.
- Extra looks are possible at any time, and each makes the next ones stricter. None is free and none gets nothing.
  Only a comparison that could not promote anything, since no row told the models apart, costs nothing.
- The level depends on when one looked, not on what was seen. Levels that followed the results could be aimed at a look
  that the same rows had already decided. If a person times extra looks by earlier results, the union bound still holds
  for the number of looks times the largest level, since no look gets more than one part.

A champion that won on these rows is flattered by them. This makes false promotions rarer, not more frequent.

An e-process, which allows looking after every new row, would pay for looking at one challenger again and again. Here
every week brings another challenger, and each must be paid for; the union bound is then nearly tight.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from cronsim import CronSim

from groundup.promotion.config import RetrainConfig

YEAR = timedelta(days=365)


@dataclass(frozen=True)
class Spending:
    """The level that an earlier look spent, and when (with a time zone)."""

    time: datetime
    level: float


@cache
def looks_a_year(cron: str, timezone: str) -> int:
    """Return how often a schedule looks at the gate rows in a year, at least 1."""
    # the minute before a leap year, which has a 29 February
    start = datetime(2023, 12, 31, 23, 59, tzinfo=ZoneInfo(timezone))
    count = 0
    for moment in CronSim(cron, start):
        if moment.year > start.year + 1:
            break
        count += 1
    return max(1, count)


def budget_left(config: RetrainConfig, spendings: Iterable[Spending], now: datetime) -> float:
    """Return the part of the year's budget that no look in the 365 days before `now` has spent.

    A spending with a time after `now`, which a clock that was set back leaves behind, counts as spent.
    """
    spent = math.fsum(spending.level for spending in spendings if now - spending.time < YEAR)
    return max(0.0, config.gate.yearly_error - spent)


def next_level(config: RetrainConfig, spendings: Iterable[Spending], now: datetime) -> float:
    """Return the level of a look at `now`, given all earlier looks of the same registered model."""
    part = config.gate.yearly_error / (looks_a_year(config.cron, config.timezone) + 1)
    return min(part, budget_left(config, spendings, now) / 2)
