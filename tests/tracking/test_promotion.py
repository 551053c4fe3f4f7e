"""The promotion rule as a table, and cron expressions accepted and refused."""

import math

import pytest
from pydantic import TypeAdapter, ValidationError

from groundup.tracking.promotion import RetrainConfig, check_cron, decide


@pytest.mark.parametrize(
    ("candidate", "champion", "min_improvement", "promote"),
    [
        ({"mcc": 0.90}, None, 0.0, True),  # the first model ever
        ({"mcc": 0.90}, {"mcc": 0.90}, 0.0, False),  # equal is not better
        ({"mcc": 0.91}, {"mcc": 0.90}, 0.0, True),
        ({"mcc": 0.91}, {"mcc": 0.90}, 0.02, False),
        ({"mcc": 0.93}, {"mcc": 0.90}, 0.02, True),
        ({"mcc": 0.80}, {"mcc": 0.90}, 0.0, False),
        ({"mcc": 0.93, "f1": 0.85}, {"mcc": 0.90, "f1": 0.90}, 0.02, False),  # the other metric gets worse
        ({"mcc": 0.93, "f1": 0.89}, {"mcc": 0.90, "f1": 0.90}, 0.02, True),  # a loss within the margin
        ({"mcc": math.nan}, {"mcc": 0.1}, 0.0, False),
        ({"mcc": math.nan}, None, 0.0, False),
        ({"mcc": 0.1}, {"mcc": math.nan}, 0.0, False),  # nothing is known about the champion: it stays
    ],
)
def test_decide(
    candidate: dict[str, float], champion: dict[str, float] | None, min_improvement: float, promote: bool
) -> None:
    decision, reason = decide(candidate, champion, min_improvement)
    assert decision is promote
    assert reason


def test_decide_says_by_how_much() -> None:
    assert decide({"mcc": 0.95}, {"mcc": 0.92}, 0.01)[1] == "mcc 0.9200 -> 0.9500, more than 0.0100 better"


@pytest.mark.parametrize(
    "good", ["* * * * *", "0 3 * * 1", "*/15 0-6,22 1,15 jan-mar mon-fri", "59 23 31 12 7"]
)
def test_cron_accepted(good: str) -> None:
    check_cron(good)


@pytest.mark.parametrize(
    "bad", ["", "0 3 * *", "0 3 * * 1 2", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8",
            "5-1 * * * *", "*/0 * * * *", "a * * * *", "@daily", "1,,2 * * * *", "-1 * * * *", "* * mon * *",
            "0 3 31 2 *", "0 3 LW * *", "0 3 * * 5L", "0 3 * * 1#2", "0 3 L * *", "٣ 3 * * *"],
)  # fmt: skip
def test_cron_refused(bad: str) -> None:
    with pytest.raises(ValueError, match="cron"):
        check_cron(bad)


def test_cron_agrees_with_prefect() -> None:
    from prefect.schedules import Cron

    for expression in ("*/15 0-6,22 1,15 jan-mar mon-fri", "59 23 31 12 7"):
        check_cron(expression)
        assert Cron(expression).cron == expression


# a folder of the database, other files in it, paths, names of another case, no name, a name too long for a file
NO_ZONES = ("Europe", "America/Argentina", "tzdata.zi", "zone.tab", "posix/UTC", "posixrules", "/etc/localtime", "..",
            "../zoneinfo/UTC", "Europe/Berlin/", "Europe/Berlin ", "utc", "Mars", "", "a" * 300, "UTC\0")  # fmt: skip


def test_config_names_the_trouble() -> None:
    sound = {"cron": "0 3 * * 1", "timezone": "UTC", "min_improvement": 0, "test_instructions": 1}
    TypeAdapter(RetrainConfig).validate_python(sound)
    for change, words in (
        *(({"timezone": name}, "IANA name, such as") for name in NO_ZONES),
        ({"timezone": None}, "timezone"),
        ({"min_improvement": -1}, "min_improvement is -1"),
        ({"min_improvement": math.nan}, "min_improvement is nan"),
        ({"test_instructions": 0}, "test_instructions"),
    ):
        with pytest.raises(ValidationError, match=words):
            TypeAdapter(RetrainConfig).validate_python(sound | change)
