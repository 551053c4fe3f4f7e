"""Values of section retrain and cron expressions, accepted and refused."""

import math
from dataclasses import asdict

import pytest
from pydantic import TypeAdapter, ValidationError

from groundup.promotion.config import RetrainConfig, check_cron
from tests.promotion.settings import GATE


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
    gate = asdict(GATE)
    sound = {"cron": "0 3 * * 1", "timezone": "UTC", "gate": gate}
    TypeAdapter(RetrainConfig).validate_python(sound)
    TypeAdapter(RetrainConfig).validate_python(sound | {"gate": gate | {"max_latency_ratio": math.inf}})
    for change, words in (
        *(({"timezone": name}, "IANA name, such as") for name in NO_ZONES),
        ({"timezone": None}, "timezone"),
        ({"gate": gate | {"yearly_error": 0}}, "yearly_error"),
        ({"gate": gate | {"yearly_error": math.nan}}, "yearly_error"),
        ({"gate": gate | {"power": 1}}, "power"),
        ({"gate": gate | {"veto": 0.01}}, "veto"),
        ({"gate": gate | {"instances": 0}}, "instances"),
    ):
        with pytest.raises(ValidationError, match=words):
            TypeAdapter(RetrainConfig).validate_python(sound | change)
