"""When to retrain, and whether the result may replace the model that serves."""

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
    """Schedule of the retraining flow, and how much better a candidate must be.

    Raises ValueError for a cron expression or a time zone that no scheduler would understand.
    """

    __pydantic_config__ = STRICT

    cron: str
    """Five fields: minute hour day-of-month month day-of-week."""
    timezone: str
    """IANA name, such as Europe/Berlin."""
    min_improvement: float
    """Smallest improvement of a candidate, in the unit of the metrics (fractions); 0 = any."""
    test_instructions: Annotated[int, Ge(1)]
    """Test instructions that both models answer, spread over the test set; 400 give a standard error below
    2.5 points.
    """

    def __post_init__(self) -> None:
        check_cron(self.cron)
        if self.timezone not in zoneinfo.available_timezones():  # Prefect's own rule
            raise ValueError(
                f"timezone is {self.timezone!r}; expected an IANA name such as Europe/Berlin or UTC"
            )
        if not 0 <= self.min_improvement < math.inf:
            raise ValueError(f"min_improvement is {self.min_improvement}; expected a number, 0 or more")


def check_cron(expression: str) -> None:
    """Raise ValueError unless these are five cron fields that a scheduler understands."""
    try:
        if len(expression.split()) != 5:
            raise CronSimError("expected five fields: minute hour day-of-month month day-of-week")
        CronSim(expression, datetime.now(UTC))
        if unknown := set(re.findall(r"[^\d\s*/,-]+", expression.lower())) - CRON_NAMES:
            raise CronSimError(f"not every scheduler understands {', '.join(sorted(unknown))}")
    except CronSimError as error:
        raise ValueError(f"cron is {expression!r}: {error}; write '0 3 * * 1' for Mondays at three") from None


def decide(
    candidate: Mapping[str, float], champion: Mapping[str, float] | None, min_improvement: float
) -> tuple[bool, str]:
    """Whether the candidate replaces the champion, and why, from their figures on the same test set.

    The first metric must grow by more than `min_improvement`; no other may fall by more than that.
    Figures are fractions, higher is better. NaN never wins.

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
