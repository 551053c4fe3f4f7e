"""What a flow run's page in Prefect shows besides logs: links to MLflow and the report, one progress bar per stage.

These artifacts are a convenience: if the server does not answer, they are missing, and the stage goes on.
"""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

from prefect import get_run_logger
from prefect.artifacts import create_link_artifact, create_progress_artifact, update_progress_artifact

from groundup.tracking import Run
from pipelines.lineage import stages_of

BAR = re.compile(r"(\d{1,3})%\|")  # a progress bar of tqdm
BAR_SECONDS = 10.0  # between two updates of a bar; tqdm prints one line per second
PAUSE_SECONDS = 300.0  # without updates, after the server has not answered


class Progress:
    """The progress artifact of one stage, drawn from the bars that tqdm prints."""

    def __init__(self, stage: str) -> None:
        self._key = f"progress-{_key(stage)}"
        self._artifact: UUID | None = None
        self._next = 0.0  # time of the next update, on the monotonic clock

    def belongs_in_log(self, line: str) -> bool:
        """Return whether to log a line of the stage's output.

        A line with a bar is logged, and updates the artifact, at 100% and at most every BAR_SECONDS before that.
        """
        found = BAR.search(line)
        if not found:
            return True
        percent, now = float(found[1]), time.monotonic()
        if now < self._next and percent < 100:
            return False
        self._next = now + BAR_SECONDS
        with _unless_unreachable() as reached:
            self._show(percent, line.strip())
        if not reached:
            self._next = time.monotonic() + PAUSE_SECONDS
        return True

    def _show(self, percent: float, line: str) -> None:
        if self._artifact is None:
            self._artifact = create_progress_artifact(percent, key=self._key, description=line)
        else:
            update_progress_artifact(self._artifact, percent, description=line)


def link_run(run: Run, flow: str) -> None:
    """Link a flow run to its run in MLflow."""
    address = _address(run)
    if address:
        described = "Its stages are the runs below it. Local runs are shown by `make ui`."
        with _unless_unreachable():
            create_link_artifact(address, "Run in MLflow", key=f"{_key(flow)}-mlflow", description=described)


def link_report(run: Run, pipeline: str, root: Path) -> None:
    """Log the report's first page to the MLflow run, and link the flow run to it; do nothing without a report."""
    address, page = _address(run), report_page(pipeline, root)
    if address and page:
        run.artifact(page)
        described = (
            f"{page.relative_to(root).as_posix()} as this run left it. Local runs are shown by `make ui`."
        )
        with _unless_unreachable():
            create_link_artifact(
                f"{address}/artifacts/{page.name}",
                "Report",
                key=f"{_key(pipeline)}-report",
                description=described,
            )


def report_page(pipeline: str, root: Path) -> Path | None:
    """Return the first page that the pipeline's stage `report` writes; None if it does not exist."""
    stages = (stage for stage in stages_of(root, pipeline) if stage.name == "report")
    outs = (Path(out.fs_path) for stage in stages for out in stage.outs)
    return next((path for path in outs if path.suffix == ".html" and path.exists()), None)


def _address(run: Run) -> str | None:
    """Return the address of a run's page in MLflow: on its server, or where `make ui` serves a local store.

    User name and password are left out. None: the run is not recorded.
    """
    if run.connection is None:
        return None
    server, base = urlsplit(run.connection.uri), "http://127.0.0.1:5000"
    if server.scheme in ("http", "https"):
        base = f"{server.scheme}://{server.netloc.rpartition('@')[2]}{server.path.rstrip('/')}"
    return f"{base}/#/experiments/{run.connection.experiment_id}/runs/{run.run_id}"


def _key(name: str) -> str:
    """Return a name as a key of an artifact: lower-case letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


@contextmanager
def _unless_unreachable() -> Iterator[list[None]]:
    """Turn an error of the block into a warning; after it, the yielded list is empty if there was an error."""
    reached: list[None] = [None]
    try:
        yield reached
    except Exception as error:  # noqa: BLE001  whatever it is, the stage must go on
        reached.clear()
        get_run_logger().warning("Prefect could not record an artifact: %s", " ".join(str(error).split()))
