"""Metrics and status of a run whose tracking store did not answer, kept in a file until a later stage sends them.

data/state/unsent/<store>/<run id>.jsonl has one line per metric and a last line with the status of the run. Sending a
metric twice does no harm: the store keeps it once.
"""

import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groundup.files import write_text
from groundup.tracking.recorder import Metric
from groundup.tracking.servers import shown

if TYPE_CHECKING:
    from groundup.tracking.store import Connection

FOLDER = Path("data/state/unsent")
BATCH_METRICS = 1000  # MLflow's limit for one log_batch request


def keep(connection: "Connection", root: Path, run_id: str, metrics: Sequence[Metric], status: str) -> Path:
    """Write the metrics and the status of a run that has ended; return the file's path."""
    lines: list[dict[str, Any]] = [metric._asdict() for metric in metrics]
    lines.append({"status": status, "end_time": int(time.time() * 1000)})
    path = _folder(connection, root) / f"{run_id}.jsonl"
    write_text(path, "".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def send(connection: "Connection", root: Path) -> None:
    """Send the metrics and the status of earlier runs that are kept for this store, and delete their files.

    Raises:
        One of `store.errors_of_store`: the store does not answer. The files that are not sent yet stay.
    """
    for path in sorted(_folder(connection, root).glob("*.jsonl")):
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:  # another process has sent it meanwhile
            continue
        _send(connection, path.stem, text)
        path.unlink(missing_ok=True)


def _send(connection: "Connection", run_id: str, text: str) -> None:
    """Send metrics and status of one run; give up if the store refuses them, for example because it has no such run."""
    *lines, end = map(json.loads, text.splitlines())
    metrics = [Metric(*(line[field] for field in Metric._fields)) for line in lines]
    recorder = connection.recorder
    try:
        for start in range(0, len(metrics), BATCH_METRICS):
            recorder.metrics(run_id, metrics[start : start + BATCH_METRICS])
        recorder.end(run_id, end["status"], end["end_time"])
    except Exception as error:
        if not is_lasting(error):
            raise


def is_lasting(error: BaseException) -> bool:
    """Return whether an error means that the store would refuse the request again; if not, it did not answer."""
    return isinstance(error, UnicodeError) or getattr(error, "error_code", "INTERNAL_ERROR") in {
        *("RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS", "INVALID_PARAMETER_VALUE", "INVALID_STATE"),
        *("BAD_REQUEST", "PERMISSION_DENIED", "NOT_FOUND", "FEATURE_DISABLED", "NOT_IMPLEMENTED"),
    }


def _folder(connection: "Connection", root: Path) -> Path:
    return root / FOLDER / hashlib.sha256(shown(connection.uri).encode()).hexdigest()[:12]
