"""The schedule of retraining, and the decision whether a candidate replaces the champion."""

import math
import re
import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from annotated_types import Ge
from cronsim import CronSim, CronSimError

from groundup.settings import STRICT

CRON_NAMES = frozenset("sun mon tue wed thu fri sat jan feb mar apr may jun jul aug sep oct nov dec".split())


@dataclass(frozen=True)
class RetrainConfig:
    """The schedule of the retraining flow, and how much better a candidate must be.

    Raises:
        ValueError: the cron expression or the time zone is not valid, or `min_improvement` is negative or infinite.
    """

    __pydantic_config__ = STRICT

    cron: str
    """Five fields: minute hour day-of-month month day-of-week."""
    timezone: str
    """IANA name, such as Europe/Berlin."""
    min_improvement: float
    """Improvement that a candidate must exceed, as a fraction; 0 = any improvement."""
    test_instructions: Annotated[int, Ge(1)]
    """Number of test instructions that both models answer, spread over the test set; 400 give a standard error below
    2.5 percentage points.
    """

    def __post_init__(self) -> None:
        check_cron(self.cron)
        if self.timezone not in zoneinfo.available_timezones():  # Prefect's own rule
            raise ValueError(
                f"timezone is {self.timezone!r}; expected an IANA name, such as Europe/Berlin or UTC"
            )
        if not 0 <= self.min_improvement < math.inf:
            raise ValueError(f"min_improvement is {self.min_improvement}; expected a number, 0 or more")


def check_cron(expression: str) -> None:
    """Raise ValueError unless the expression has five valid cron fields."""
    try:
        if len(expression.split()) != 5:
            raise CronSimError("expected five fields: minute hour day-of-month month day-of-week")
        CronSim(expression, datetime.now(UTC))
        if unknown := set(re.findall(r"[^\d\s*/,-]+", expression.lower())) - CRON_NAMES:
            raise CronSimError(f"not every scheduler supports {', '.join(sorted(unknown))}")
    except CronSimError as error:
        raise ValueError(f"cron is {expression!r}: {error}; write '0 3 * * 1' for Mondays at three") from None


def decide(
    candidate: Mapping[str, float], champion: Mapping[str, float] | None, min_improvement: float
) -> tuple[bool, str]:
    """Decide from metrics on the same test set whether the candidate replaces the champion: (decision, reason).

    The first metric must grow by more than `min_improvement`, and no other may fall by more than that.
    Metrics are fractions; higher is better. A candidate with NaN never wins.

    >>> decide({"mcc": 0.95}, {"mcc": 0.92}, 0.01)
    (True, 'mcc 0.9200 -> 0.9500, more than 0.0100 better')
    """
    assert candidate, "a candidate without metrics"
    for name, value in candidate.items():
        if math.isnan(value):
            return False, f"the candidate's {name} is not a number"
    if champion is None:
        return True, "there is no champion yet"
    assert champion.keys() == candidate.keys(), (champion.keys(), candidate.keys())
    headline = next(iter(candidate))
    gain = candidate[headline] - champion[headline]
    moved = f"{headline} {champion[headline]:.4f} -> {candidate[headline]:.4f}"
    if not gain > min_improvement:
        return False, f"{moved}, not more than {min_improvement:.4f} better"
    for name, value in candidate.items():
        if champion[name] - value > min_improvement:
            fallen = f"{name} {champion[name]:.4f} -> {value:.4f}, more than {min_improvement:.4f} worse"
            return False, f"{moved}, but {fallen}"
    return True, f"{moved}, more than {min_improvement:.4f} better"
