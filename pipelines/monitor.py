"""Scheduled monitoring: compare new windows of messages with the champion's own data, and retrain if they drift.

`python -m pipelines.monitor run` checks once, now. `make schedule` checks on the schedule in params.yaml. A window is a
file in the folder monitor.windows; each is checked once. Its result is written to monitor.results: aggregates as JSON,
and a page.
"""

from pipelines import server  # noqa: F401  # before Prefect, whose settings it reads

# isort: split
import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import typer
from dvc.repo import Repo
from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.states import Completed, Failed, State

from groundup.errors import BadInput
from groundup.monitoring.policy import counted, due
from groundup.monitoring.results import read_results
from groundup.reports.monitoring import verdict
from groundup.text.jsonl import read_jsonl, write_jsonl
from pipelines.flow import FORESEEN, alone, at_most, by_hand, sentence
from pipelines.operate.missed import cancel_missed_runs
from pipelines.params import MainParams, load_params
from pipelines.retrain import retrain
from pipelines.windows import Judge, check

GUIDE = "README.md"  # in the folder of the windows
FIRINGS = "firings.jsonl"  # in the folder of the results: the retrainings that drift has started
RETRAINING = "retrain/scheduled"  # flow and deployment
POLLED = timedelta(minutes=2)  # a runner or worker asks for work every 10 to 15 seconds


@flow(name="monitor")
def monitor(timeout_hours: float | None = None) -> State[Any]:
    """Check every new window of messages, and start a retraining if the policy calls for one.

    A window that cannot be read does not stop the others, but the flow then fails. The flow always writes the artifact
    `monitoring-summary`.

    Args:
        timeout_hours: the time after which the checks are stopped; a retraining that runs here gets the same value.
            None: no limit.
    """
    lines = ["# Monitoring", ""]
    problems: list[str] = []
    checked: list[dict[str, Any]] = []
    try:
        cancel_missed_runs()
        root = Path(Repo.find_root())
        params: MainParams = load_params("main", root)
        with alone("monitor", root):
            with at_most(timeout_hours):
                checked, problems = check_new_windows(root, params)
            lines += _summary(checked, params)
            for result in checked:
                page = params.monitor.results / f"{result['window']}.html"
                get_run_logger().info("%s: its page is %s", result["file"], page)
            started = retrain_if_due(root, params, timeout_hours)
            lines += started
    except FORESEEN as error:
        problems.append(sentence(error))
    finally:
        lines += [f"**Failed**: {problem}" for problem in problems]
        create_markdown_artifact("\n".join(lines) + "\n", key="monitoring-summary")
    if problems:
        return Failed(message="; ".join(problem.rstrip(".") for problem in problems))
    alarms = sum(result["violation"] for result in checked)
    return Completed(
        message=f"{len(checked)} new windows, {alarms} with drift{'; retraining' if started else ''}"
    )


def check_new_windows(root: Path, params: MainParams) -> tuple[list[dict[str, Any]], list[str]]:
    """Check every window that has not been checked before.

    Returns:
        The new results, and one sentence for each file that could not be checked.

    Raises:
        BadInput: the folder of the windows is missing, a stored result cannot be read, or `Judge` cannot be made.
    """
    config = params.monitor
    folder, results = root / config.windows, root / config.results
    if not folder.is_dir():
        raise BadInput(
            f"{folder} does not exist; expected the folder of the windows: make it, or correct monitor.windows"
        )
    known = {result["sha256"] for result in read_results(results)}
    checked, problems, judge = [], [], None
    for file in sorted(folder.iterdir()):
        if not file.is_file() or file.name.startswith(".") or file.name == GUIDE:
            continue
        try:
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
        except OSError as error:
            problems.append(f"{file.name} cannot be read ({error.strerror}); expected a file of messages")
            continue
        if digest in known:
            continue
        judge = judge or Judge(root, params)
        state = check(file, digest, judge, return_state=True)
        if state.is_failed():
            problems.append(state.message or f"{file.name} could not be checked")
        else:
            checked.append(state.result())
            known.add(digest)
    return checked, problems


def _summary(checked: Sequence[Mapping[str, Any]], params: MainParams) -> list[str]:
    """Return the windows of this run as a Markdown table."""
    if not checked:
        return ["There is no new window.", ""]
    pages = params.monitor.results.as_posix()
    rows = [
        f"| {result['file']} | {result['messages']['compared']:,} | {verdict(result)} | "
        f"`{pages}/{result['window']}.html` |"
        for result in checked
    ]
    return ["| window | messages | verdict | page |", "|---|---|---|---|", *rows, ""]


def retrain_if_due(root: Path, params: MainParams, timeout_hours: float | None) -> list[str]:
    """Start a retraining if the policy calls for one.

    A deployment that is served gets a flow run; otherwise the retraining runs here. It is recorded in FIRINGS only
    afterwards, so after a crash in between, the next check starts it again. A deployment does not run twice for the
    same windows.

    Returns:
        What was started, as lines of Markdown; empty if nothing.

    Raises:
        RuntimeError: the retraining ran here and failed.
    """
    config = params.monitor
    results, file = read_results(root / config.results), root / config.results / FIRINGS
    firings = read_jsonl(file) if file.exists() else []
    windows = due(results, firings, config.policy)
    if not windows:
        return []
    looked_at = [result["window"] for result in counted(results, firings, config.policy)]
    why = f"drift in {len(windows)} of the last {len(looked_at)} windows ({', '.join(windows)})"
    get_run_logger().info("retraining: %s", why)
    state: State[Any] | None = None
    if _served(RETRAINING):
        key = hashlib.sha256("\n".join(windows).encode()).hexdigest()[:16]
        run = run_deployment(RETRAINING, timeout=0, idempotency_key=f"drift-{key}", tags=["drift"])
        how = f"flow run {run.name} of {RETRAINING}"
    else:
        state = retrain(timeout_hours=timeout_hours, return_state=True)
        how = f"ran here: {state.name}, {state.message}"
    fired = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "windows": looked_at,
        "why": why,
        "how": how,
    }
    write_jsonl(file, [*firings, fired])
    if state is not None and not state.is_completed():
        raise RuntimeError(f"{why} started a retraining, which failed: {state.message}")
    return [f"**Retraining** because of {why}: {how}."]


def _served(deployment: str) -> bool:
    """Return whether the server has the deployment, not paused, and a runner or worker recently asked for its runs."""
    with get_client(sync_client=True) as client:
        try:
            found = client.read_deployment_by_name(deployment)
        except ObjectNotFound:
            return False
    polled = found.last_polled
    return not found.paused and polled is not None and datetime.now(UTC) - polled < POLLED


app = typer.Typer(add_completion=False)


@app.callback()
def main() -> None:
    """Monitor messages for drift."""


@app.command()
def run() -> None:
    """Check the new windows now, and retrain if the policy calls for it.

    A window is a file in data/windows (its README.md describes them); each is checked once. The pages are written to
    reports/monitoring.
    """
    typer.echo(by_hand(lambda: monitor(return_state=True)).message)


if __name__ == "__main__":
    app()
