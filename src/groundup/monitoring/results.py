"""The stored results of monitoring: one JSON file of aggregates per window; see `drift.compare`.

The flow adds "window" (a name for files), "file", "sha256" of the file, "checked" (ISO 8601, UTC), "messages",
"reference", "champion" and "run" (the link to the MLflow run, or null).
"""

from pathlib import Path
from typing import Any

from groundup.errors import BadInput
from groundup.files import read_json

NEEDED = {"window", "file", "sha256", "checked", "violation", "tests", "distributions"}


def read_results(folder: Path) -> list[dict[str, Any]]:
    """Return the results in a folder, in the order in which the windows were checked; [] if there is no folder.

    Raises:
        BadInput: a JSON file holds no result.
    """
    found = map(read_result, sorted(folder.glob("*.json")))
    return sorted(found, key=lambda result: (result["checked"], result["window"]))


def read_result(path: Path) -> dict[str, Any]:
    """Return the result in a file.

    Raises:
        BadInput: the file cannot be read, or holds no result.
    """
    try:
        result: dict[str, Any] = read_json(path)
        missing = NEEDED - set(result)
    except (OSError, ValueError, TypeError) as error:
        raise BadInput(
            f"{path} holds no result of the monitor ({type(error).__name__}: {error}); restore it, or delete it."
        ) from error
    if missing:
        raise BadInput(
            f"{path} holds no result of the monitor: {', '.join(sorted(missing))} missing; restore it, or delete it."
        )
    return result
