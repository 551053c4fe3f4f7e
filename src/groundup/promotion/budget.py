"""The error budget of the gate: the level of each look at the gate rows, and what the looks of a year may spend.

A look is one comparison of a challenger with the champion at a level: the probability that the test promotes a
challenger that is not better. In any 365 days the levels add up to at most `yearly_error`. By the union bound, the
probability of a false promotion in a year is at most that sum. The bound holds however the looks depend on each other,
and they do: they reuse the gate rows and the champion.

The level of a look is one part of the budget, yearly_error / (L + 1) where the schedule has L looks in a year, or half
of what is left if that is less. What was spent 365 days ago or earlier is available again. Consequences:

- The looks of a schedule get one part each and never run out, as long as at most L of them are within 365 days. If
  every look got the share 1/L of what is left, the level would in the long run be only half as large: with 0.05 and
  52 looks, 0.05/104 instead of 0.05/53.
- Extra looks are possible at any time. Each is paid for, leaves less for later looks, and gets a level above 0.
- A comparison that tests nothing costs nothing: there is no champion, there are too few rows, answers are not numbers,
  or no row tells the models apart.
- The level depends on the times of earlier looks, not on their results. Otherwise a large level could be used for a
  look whose result the same rows have already shown. If a person times extra looks by earlier results, the union bound
  still holds with the number of looks times the largest level, since no look gets more than one part.

Rows on which the champion was chosen overestimate it. This makes false promotions rarer, not more frequent.

An e-process would pay for testing the same challenger after every new row. Here every week brings another challenger,
and each has to be paid for, so the union bound is nearly tight.
"""

import math
from collections import deque
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
    """The level that an earlier look spent, and its time (with a time zone)."""

    time: datetime
    level: float


@cache
def looks_a_year(cron: str, timezone: str) -> int:
    """Return the largest number of looks of a schedule in 365 days of 2023 to 2025, at least 1.

    A year with 52 weeks and a day has 53 looks if it begins with one.
    """
    start = datetime(2022, 12, 31, 23, 59, tzinfo=ZoneInfo(timezone))
    recent: deque[datetime] = deque()
    most = 1
    for moment in CronSim(cron, start):
        if moment.year > start.year + 3:
            break
        recent.append(moment)
        while moment - recent[0] >= YEAR:
            recent.popleft()
        most = max(most, len(recent))
    return most


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
