"""The levels of any 365 days never add up to more than the budget, whatever the times of the looks."""

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.promotion.budget import YEAR, Spending, budget_left, looks_a_year, next_level
from tests.promotion.settings import GATE, WEEKLY

START = datetime(2026, 1, 5, 3, tzinfo=UTC)
PART = 0.05 / 54  # 53 Mondays in the reference year, and a reserve


def spend(times: list[datetime]) -> list[Spending]:
    """Look at each of the times."""
    spendings: list[Spending] = []
    for now in times:
        spendings.append(Spending(now, next_level(WEEKLY, spendings, now)))
    return spendings


def worst_year(spendings: list[Spending]) -> float:
    """Return the largest sum of levels in 365 days; such a window can begin with a look."""
    return max(
        math.fsum(other.level for other in spendings if one.time <= other.time < one.time + YEAR)
        for one in spendings
    )


@pytest.mark.parametrize(
    ("cron", "looks"),
    [
        *((f"0 3 * * {day}", 53) for day in range(7)),
        ("0 3 * * *", 365),
        ("0 3 1 * *", 12),
        ("0 * * * *", 365 * 24),
        ("0 3 29 2 *", 1),
    ],
)
def test_looks_a_year(cron: str, looks: int) -> None:
    assert looks_a_year(cron, "UTC") == looks


def test_a_weekly_schedule_always_gets_one_part() -> None:
    spendings = spend([START + timedelta(weeks=week) for week in range(160)])
    assert [spending.level for spending in spendings] == pytest.approx([PART] * 160)
    assert worst_year(spendings) <= 0.05


@given(st.lists(st.integers(-24 * 90, 24 * 30) | st.just(0), min_size=1, max_size=150))
@settings(max_examples=50, deadline=None)
def test_no_year_exceeds_the_budget(hours: list[int]) -> None:
    """A negative gap: the clock was set back."""
    times, now = [], START
    for gap in hours:
        now += timedelta(hours=gap)
        times.append(now)
    spendings = spend(times)
    assert worst_year(spendings) <= GATE.yearly_error + 1e-15
    assert all(0 < spending.level <= PART for spending in spendings)


def test_extra_looks_are_paid_for_by_later_ones_and_never_free() -> None:
    hourly = spend([START + timedelta(hours=hour) for hour in range(90)])
    levels = [spending.level for spending in hourly]
    assert min(levels) > 0
    assert levels[52] == pytest.approx(PART, abs=1e-9) and levels[54] == pytest.approx(PART / 4, abs=1e-7)
    later = START + timedelta(days=30)
    assert next_level(WEEKLY, hourly, later) < levels[-1]
    assert next_level(WEEKLY, hourly, START + YEAR + timedelta(hours=90)) == pytest.approx(PART, abs=1e-9)


def test_a_spending_returns_after_365_days_and_one_in_the_future_counts() -> None:
    one = [Spending(START, 0.01)]
    assert budget_left(WEEKLY, one, START + YEAR - timedelta(seconds=1)) == pytest.approx(0.04)
    assert budget_left(WEEKLY, one, START + YEAR) == 0.05
    assert budget_left(WEEKLY, one, START - timedelta(days=3)) == pytest.approx(0.04)


def test_an_overdrawn_budget_gives_nothing() -> None:
    """The budget was lowered in params.yaml after it had been spent."""
    lower = replace(WEEKLY, gate=replace(GATE, yearly_error=0.001))
    assert next_level(lower, [Spending(START, 0.01)], START + timedelta(days=1)) == 0.0
