"""Check the schedule of a flow in params.yaml: a cron expression and a time zone."""

import re
import zoneinfo
from datetime import UTC, datetime

from cronsim import CronSim, CronSimError

CRON_NAMES = frozenset("sun mon tue wed thu fri sat jan feb mar apr may jun jul aug sep oct nov dec".split())


def check_schedule(cron: str, timezone: str) -> None:
    """Raise ValueError unless `cron` is valid (see `check_cron`) and `timezone` is an IANA name."""
    check_cron(cron)
    if timezone not in zoneinfo.available_timezones():  # Prefect checks it in this way too
        raise ValueError(f"timezone is {timezone!r}; expected an IANA name, such as Europe/Berlin or UTC")


def check_cron(expression: str) -> None:
    """Raise ValueError unless a cron expression has five valid fields, written as every scheduler can read them."""
    try:
        if len(expression.split()) != 5:
            raise CronSimError("expected five fields: minute hour day-of-month month day-of-week")
        CronSim(expression, datetime.now(UTC))
        if unknown := set(re.findall(r"[^\d\s*/,-]+", expression.lower())) - CRON_NAMES:
            raise CronSimError(f"not every scheduler supports {', '.join(sorted(unknown))}")
    except CronSimError as error:
        raise ValueError(f"cron is {expression!r}: {error}; write '0 3 * * 1' for Mondays at three") from None
