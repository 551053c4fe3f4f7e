"""Validation of settings: dataclasses that refuse misspelt names, schedules, and errors as one line of text."""

import re
import zoneinfo
from datetime import UTC, datetime
from typing import Any

from pydantic import ConfigDict, ValidationError
from pydantic_core import ErrorDetails

# A dataclass with `__pydantic_config__ = STRICT` refuses misspelt names.
STRICT = ConfigDict(extra="forbid")
DISCRIMINATORS = ("kind", "protocol", "source")  # the fields that choose a variant of a union
CRON_NAMES = frozenset("sun mon tue wed thu fri sat jan feb mar apr may jun jul aug sep oct nov dec".split())


def describe(error: ValidationError, values: Any = None) -> str:
    """List all problems that pydantic found in the settings `values`, with their paths, in one line.

    >>> describe(error, {"optimizer": {"kind": "sgd", "betas": [0.9, 0.98]}})
    'optimizer.betas: Unexpected keyword argument with kind sgd; optimizer.momentum: Field required with kind sgd'
    """
    return "; ".join(_problem(found, values) for found in error.errors())


def _problem(found: ErrorDetails, values: Any) -> str:
    path, variant = _place(found["loc"], values)
    context = found.get("ctx", {})
    if found["type"] in ("union_tag_invalid", "union_tag_not_found"):
        path.append(context["discriminator"].strip("'"))
    where = ".".join(path) or "the file"
    match found["type"]:
        case "union_tag_invalid":
            return f"{where}: found '{context['tag']}'; expected one of {context['expected_tags']}"
        case "union_tag_not_found":
            return f"{where}: Field required"
        case "model_attributes_type":
            return f"{where}: Input should be a dictionary"
        case "missing" | "unexpected_keyword_argument" if variant:
            return f"{where}: {found['msg']} with {variant}"
    return f"{where}: {found['msg']}"


def _place(loc: tuple[int | str, ...], values: Any) -> tuple[list[str], str]:
    """Return the path of a setting in its file, and the variant of the union that it is in, as "kind adamw".

    Pydantic's own path includes the variant, which the file does not have there: `optimizer.adamw.betas`.
    """
    path: list[str] = []
    variant = chosen = ""
    for part in loc:
        name = next((n for n in DISCRIMINATORS if isinstance(values, dict) and values.get(n) == part), "")
        if name and not chosen:
            chosen = f"{name} {part}"
            continue
        path.append(str(part))
        variant, chosen = chosen, ""
        try:
            values = values[part]
        except (KeyError, IndexError, TypeError):
            values = None
    return path, variant


def check_schedule(cron: str, timezone: str) -> None:
    """Raise ValueError unless `cron` is valid (see `check_cron`) and `timezone` is an IANA name."""
    check_cron(cron)
    if timezone not in zoneinfo.available_timezones():  # Prefect checks it in this way too
        raise ValueError(f"timezone is {timezone!r}; expected an IANA name, such as Europe/Berlin or UTC")


def check_cron(expression: str) -> None:
    """Raise ValueError unless a cron expression has five valid fields, written as every scheduler can read them."""
    from cronsim import CronSim, CronSimError  # not installed where a registered model is served

    try:
        if len(expression.split()) != 5:
            raise CronSimError("expected five fields: minute hour day-of-month month day-of-week")
        CronSim(expression, datetime.now(UTC))
        if unknown := set(re.findall(r"[^\d\s*/,-]+", expression.lower())) - CRON_NAMES:
            raise CronSimError(f"not every scheduler supports {', '.join(sorted(unknown))}")
    except CronSimError as error:
        raise ValueError(f"cron is {expression!r}: {error}; write '0 3 * * 1' for Mondays at three") from None
