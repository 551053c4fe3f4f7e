"""Tracking in MLflow: one run per stage, one parent run per pipeline, the model registry and its champions.

This room does not decide which stages run. While a stage runs, an MLflow error is printed as a warning and does not
stop it.

MLflow takes seconds to import. Only this room and serving import it, and this room not before something is asked of
MLflow's client; what every stage records goes to the default store without it (database.py).
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from groundup.errors import BadInput, first_line
from groundup.tracking import registry
from groundup.tracking.models import TrackingConfig
from groundup.tracking.processes import ProcessId
from groundup.tracking.recorder import Recorder
from groundup.tracking.run import Run, silent
from groundup.tracking.store import Connection, connect, create_run, explained

__all__ = [
    "Heading",
    "Run",
    "Terminated",
    "TrackingConfig",
    "connect",
    "explained",
    "mark_cached",
    "pipeline_run",
    "registry",
    "silent",
    "stage_run",
]


class Terminated(KeyboardInterrupt):
    """Raised on SIGTERM and handled like Ctrl-C, so that the run ends as KILLED."""


@dataclass(frozen=True)
class Heading:
    """Name, tags and parameters of a pipeline's run, as MLflow's lists show them."""

    name: str
    tags: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)  # by section, as in `stage_run`


@contextmanager
def stage_run(
    name: str,
    params: Mapping[str, Any],
    tags: Mapping[str, str],
    *,
    root: Path,
    workspace: Path | None = None,
    parent_run_id: str | None = None,
    pipeline: str = "main",
    process: ProcessId | None = None,
    heading: Callable[[], Heading] | None = None,
    config: TrackingConfig | None = None,
) -> Iterator[Run]:
    """Open the run of one stage; it ends FINISHED, FAILED (any error) or KILLED (Ctrl-C, SIGTERM).

    Args:
        name: the stage's name.
        params: sections (dataclasses or mappings), logged flat as `section.key`.
        tags: tags of the run.
        root: the project's folder, with the default database mlflow.db and its artifacts mlruns/.
        workspace: the folder in which the stage works, if it is a temporary copy of the project.
        parent_run_id: the parent run, if the caller has opened one.
        pipeline: the pipeline's name. Without `parent_run_id`, the stages of this pipeline that `process` runs share
            one parent run.
        process: the process that runs the pipeline. If it and `parent_run_id` are None, the run has no parent.
        heading: called when the shared parent run is created, for its name, tags and parameters; None: `pipeline` is
            the name.
        config: see `Run`.

    Raises:
        BadInput: MLflow or the place of its artifacts cannot be reached, or MLflow cannot be written to, and there is
            no `parent_run_id`. With one, MLflow has answered before, so the stage goes on and logs nothing.
    """
    shown = heading or (lambda: Heading(pipeline))
    run, shared = _open(name, tags, root, workspace, parent_run_id, pipeline, process, shown, config)
    with _sigterm_raises(), _system_metrics(run):
        status = "FINISHED"
        try:
            run.params(params)
            yield run
        except BaseException as error:
            status = _status_of(error)
            run.tag("error", f"{type(error).__name__}: {first_line(error)}"[:500])
            raise
        finally:
            run.log_usage()
            run.finish(status)
            if shared and run.connection and run.answers:
                with run.forgiving():
                    _end_shared_parent(run.connection.recorder, shared, name, status)


def _open(
    name: str,
    tags: Mapping[str, str],
    root: Path,
    workspace: Path | None,
    parent_run_id: str | None,
    pipeline: str,
    process: ProcessId | None,
    heading: Callable[[], Heading],
    config: TrackingConfig | None,
) -> tuple[Run, str | None]:
    """Create the run of a stage; return it, and the id of the parent run that it shares with other stages, or None."""
    shared = None
    try:
        connection = connect(root)
        with explained(connection.uri):
            if process and not parent_run_id:
                shared = _shared_parent(connection, pipeline, process, tags, heading)
            parent = parent_run_id or shared
            run_id = create_run(connection, name, {"kind": "stage", "stage": name, **tags}, parent)
    except BadInput as error:
        if not parent_run_id:
            raise
        print(f"warning: {error}; the stage goes on, and MLflow records nothing of it", file=sys.stderr)
        return Run(None, "", root, workspace), None
    run = Run(connection, run_id, root, workspace, name=name, parent=parent, config=config)
    return run, shared


@contextmanager
def pipeline_run(
    name: str, tags: Mapping[str, str], *, root: Path, heading: Heading | None = None
) -> Iterator[Run]:
    """Open a parent run that belongs to the calling process, for callers that start stages.

    Args:
        name: the pipeline, or another name for what the process does.
        tags: tags of the run.
        root: the project's folder.
        heading: the run's name, further tags, and parameters; None: the run is called `name`.

    Raises:
        BadInput: MLflow or the place of its artifacts cannot be reached, or MLflow cannot be written to.
    """
    connection, heading = connect(root), heading or Heading(name)
    with explained(connection.uri):
        everything = {"kind": "pipeline", "pipeline": name, **tags, **heading.tags}
        run = Run(connection, _create_parent(connection, heading.name, everything), root, name=name)
    run.params(heading.params)
    status = "FINISHED"
    try:
        yield run
    except BaseException as error:
        status = _status_of(error)
        raise
    finally:
        run.finish(status)


def mark_cached(run: Run, stage: str, stage_key: str) -> str | None:
    """Record below the parent `run` that DVC had a stage's outputs already, with a link to the run that made them.

    Returns:
        The id of the newest finished run with this stage key, or None.
    """
    if run.connection is None or not run.answers:
        return None
    recorder, experiment = run.connection.recorder, run.connection.experiment_id
    with run.forgiving():
        producer = recorder.find({"kind": "stage", "stage_key": stage_key}, "FINISHED")
        link = (
            f"[{producer}](#/experiments/{experiment}/runs/{producer})"
            if producer
            else "no run of this database"
        )
        tags = {
            "kind": "cached",
            "stage": stage,
            "stage_key": stage_key,
            "produced_by": producer or "",
            "mlflow.note.content": f"Nothing to do: DVC has the outputs already. Produced by {link}.",
        }
        marker = create_run(run.connection, f"{stage} (cached)", tags, run.run_id)
        recorder.end(marker, "FINISHED")
        return producer
    return None


def _shared_parent(
    connection: Connection,
    pipeline: str,
    process: ProcessId,
    tags: Mapping[str, str],
    heading: Callable[[], Heading],
) -> str:
    """Return the id of the parent run of all stages that a process starts: the first stage creates it."""
    recorder = connection.recorder
    found = recorder.find({"kind": "pipeline", "process": str(process), "pipeline": pipeline})
    if found:
        recorder.reopen(found)
        return found
    own = ("stage_key", "data.", "mlflow.source.name")  # facts of the stage, not of the pipeline
    kept = {key: value for key, value in tags.items() if not key.startswith(own)}
    shown = heading()
    everything = {**kept, **shown.tags, "kind": "pipeline", "pipeline": pipeline}
    run_id = _create_parent(connection, shown.name, everything, process)
    Run(connection, run_id, Path()).params(shown.params)
    return run_id


def _create_parent(
    connection: Connection, name: str, tags: Mapping[str, str], owner: ProcessId | None = None
) -> str:
    """Create a parent run; fail if the place of its artifacts does not answer, because all of them would be lost."""
    run_id = create_run(connection, name, tags, None, owner)
    try:
        connection.recorder.reach_artifacts(run_id)
    except BaseException:
        connection.recorder.end(run_id, "FAILED")
        raise
    return run_id


def _end_shared_parent(recorder: Recorder, parent: str, stage: str, status: str) -> None:
    """End the parent run after every stage, since any may be the last; once a stage has failed, so has the parent."""
    if status != "FINISHED":
        recorder.tag(parent, "ended_badly", f"{stage}: {status}")
    worst = recorder.tags(parent).get("ended_badly", "FINISHED")
    recorder.end(parent, worst.rsplit(" ", 1)[-1])


def _status_of(error: BaseException) -> str:
    if isinstance(error, SystemExit) and not error.code:
        return "FINISHED"
    # KILLED: Ctrl-C, SIGTERM or a cancellation by Prefect
    return "FAILED" if isinstance(error, Exception | SystemExit) else "KILLED"


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    """Raise Terminated on SIGTERM, which would otherwise end the process at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handler(*_: object) -> None:
        raise Terminated

    previous = signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


@contextmanager
def _system_metrics(run: Run) -> Iterator[None]:
    """Log the use of processor, memory, disk and network while the block runs; MLflow samples it in a thread.

    MLflow is imported for it only after one interval, before which there would be no sample either.
    """
    if run.connection is None:
        yield
        return
    connection, monitors = run.connection, list[Any]()

    def begin() -> None:
        with run.forgiving():
            connection.client  # noqa: B018  # imports MLflow
            from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

            monitor = SystemMetricsMonitor(run.run_id, tracking_uri=connection.uri)
            monitor.start()
            monitors.append(monitor)

    timer = threading.Timer(float(os.environ["MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL"]), begin)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        for monitor in monitors:
            monitor.finish()
