"""When to retrain, and whether the result may replace the model that serves."""

import math
import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass

from groundup.settings import STRICT

# minute, hour, day of month, month, day of week
_CRON_FIELDS = (
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day of month", 1, 31),
    ("month", 1, 12),
    ("day of week", 0, 7),
)
_NAMES = {
    "month": ["", "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    "day of week": ["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
}


@dataclass(frozen=True)
class RetrainConfig:
    """Schedule of the retraining flow, and how much better a candidate must be.

    Raises ValueError for a cron expression or a time zone that no scheduler would understand.
    """

    __pydantic_config__ = STRICT

    cron: str  # five fields: minute hour day-of-month month day-of-week
    timezone: str  # IANA name, such as Europe/Berlin
    min_improvement: float  # in the unit of the metrics (fractions); 0: any improvement

    def __post_init__(self) -> None:
        check_cron(self.cron)
        try:
            zoneinfo.ZoneInfo(self.timezone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError):
            expected = "expected an IANA name such as Europe/Berlin or UTC"
            raise ValueError(f"timezone is {self.timezone!r}; {expected}") from None
        if self.min_improvement < 0:
            raise ValueError(f"min_improvement is {self.min_improvement}; expected 0 or more")


def check_cron(expression: str) -> None:
    """Raise ValueError unless these are five cron fields of numbers, names, `*`, lists, ranges and steps."""
    fields = expression.split()
    if len(fields) != len(_CRON_FIELDS):
        raise ValueError(
            f"cron is {expression!r}, {len(fields)} fields; expected five: minute hour "
            "day-of-month month day-of-week, such as '0 3 * * 1' for Mondays at three"
        )
    for text, (field, low, high) in zip(fields, _CRON_FIELDS, strict=True):
        for part in text.split(","):
            if not _is_cron_part(part, field, low, high):
                raise ValueError(
                    f"cron is {expression!r}, where {part!r} is no {field}; expected {low}-{high}, "
                    "a range such as 1-5, a step such as */15, or *"
                )


def _is_cron_part(part: str, field: str, low: int, high: int) -> bool:
    span, slash, step = part.partition("/")
    if slash and not (step.isascii() and step.isdigit() and int(step) > 0):
        return False
    if span == "*":
        return True
    first, dash, last = span.partition("-")
    ends = [_number(end, field) for end in ((first, last) if dash else (first,))]
    return all(end is not None and low <= end <= high for end in ends) and ends == sorted(
        ends, key=lambda e: e or 0
    )


def _number(text: str, field: str) -> int | None:
    if text.isascii() and text.isdigit():
        return int(text)
    names = _NAMES.get(field, [])
    return names.index(text.lower()) if text and text.lower() in names else None


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
