"""The deployments in prefect.yaml, into which `make docs` copies the schedules of params.yaml."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

from pipelines.params import MainParams, load_params

FILE = "prefect.yaml"
_SCHEDULE = re.compile(r"^    (\w+): &\1 \[\{cron: .*\}\]$", re.MULTILINE)


def deployments(root: Path) -> list[dict[str, Any]]:
    """Return the entries of prefect.yaml with the schedules of params.yaml, and the name of each flow as `flow`.

    Raises:
        BadInput: params.yaml has a problem.
    """
    found = yaml.safe_load(text(root))["deployments"]
    return [entry | {"flow": entry["entrypoint"].rpartition(":")[2]} for entry in found]


def text(root: Path) -> str:
    """Return the text of prefect.yaml with the cron expressions and time zones of params.yaml.

    Raises:
        BadInput: params.yaml has a problem.
    """
    times = _times(root)

    def line(found: re.Match[str]) -> str:
        if found[1] not in times:
            return found[0]
        cron, timezone = (json.dumps(word) for word in times[found[1]])
        return f"    {found[1]}: &{found[1]} [{{cron: {cron}, timezone: {timezone}}}]"

    return _SCHEDULE.sub(line, (root / FILE).read_text(encoding="utf-8"))


def _times(root: Path) -> dict[str, tuple[str, str]]:
    """Return the cron expression and the time zone of each flow that has a schedule in params.yaml."""
    params: MainParams = load_params("main", root)
    retrain, monitor = params.retrain, params.monitor
    return {
        "retrain": (retrain.cron, retrain.timezone),
        "monitor": (monitor.cron, monitor.timezone),
    }
