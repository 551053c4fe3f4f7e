"""Cron expressions and time zones, accepted and refused."""

import pytest

from groundup.schedule import check_cron, check_schedule


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


@pytest.mark.parametrize("name", NO_ZONES)
def test_time_zone_refused(name: str) -> None:
    with pytest.raises(ValueError, match="IANA name, such as"):
        check_schedule("0 3 * * 1", name)


@pytest.mark.parametrize("name", ["UTC", "Europe/Berlin"])
def test_time_zone_accepted(name: str) -> None:
    check_schedule("0 3 * * 1", name)
