"""Settings: YAML that names each value once, dataclasses that refuse misspelt names, schedules, and errors as text."""

import re
import zoneinfo
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Lt
from pydantic import ConfigDict, ValidationError
from pydantic_core import ErrorDetails

if TYPE_CHECKING:
    import yaml

# A dataclass with `__pydantic_config__ = STRICT` refuses misspelt names, and numbers that are infinite or none.
STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)
Seed = Annotated[int, Ge(0), Lt(2**32)]  # which torch, NumPy and scikit-learn all take
DISCRIMINATORS = ("kind", "protocol", "source")  # the fields that choose a variant of a union
CRON_NAMES = frozenset("sun mon tue wed thu fri sat jan feb mar apr may jun jul aug sep oct nov dec".split())


def load_yaml(text: str) -> Any:
    """Return the content of a YAML text.

    Raises:
        yaml.YAMLError: it is not YAML; a key occurs twice, of which PyYAML by itself would take the last; it is nested
            too deeply, or has a number of thousands of digits.
    """
    import yaml

    try:
        return yaml.load(text, _loader())
    except RecursionError:
        raise yaml.YAMLError("it is nested too deeply") from None
    except ValueError as error:  # Python limits the digits of whole numbers, and the years of dates
        raise yaml.YAMLError(str(error)) from None


@cache
def _loader() -> "type[yaml.SafeLoader]":
    import yaml
    from yaml.composer import ComposerError

    class Loader(yaml.SafeLoader):
        def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
            node = super().compose_mapping_node(anchor)
            seen: set[tuple[str, str]] = set()
            for key, _ in node.value:
                name = (key.tag, str(key.value))
                if name in seen:
                    raise ComposerError(
                        None, None, f"the key {key.value!r} occurs twice in one section", key.start_mark
                    )
                seen.add(name)
            return node

    return Loader


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
