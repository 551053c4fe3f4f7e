"""MLflow listens here: one run per stage under one parent run per pipeline. It decides nothing.

MLflow takes seconds to import, so it is imported only when a run is opened. Once a stage is at work, a tracking
error costs a warning and never the training: the numbers that count are files in reports/.
"""

import gc
import hashlib
import json
import logging
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from groundup import processes
from groundup.errors import BadInput
from groundup.processes import ProcessId

if TYPE_CHECKING:
    import pandas

FLUSH_SECONDS = 5.0
BATCH_METRICS = 1000  # the most that one log_batch request may carry; 100 for parameters
BATCH_PARAMS = 100

_DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # a server that is down is reported in seconds, not in minutes
    "MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL": "5",
    "GIT_PYTHON_REFRESH": "quiet",
}


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived: handled like Ctrl-C, so that states are saved and the run ends as KILLED."""


@dataclass(frozen=True)
class Connection:
    """An MLflow client with the experiment it writes to."""

    client: Any  # mlflow.MlflowClient, which must not be imported to name it
    uri: str
    experiment_id: str


class Run:
    """What a stage can tell MLflow. Metrics are buffered; everything else is sent at once."""

    def __init__(self, connection: Connection | None, run_id: str, root: Path) -> None:
        self.connection, self.run_id, self.root = connection, run_id, root
        self._metrics: list[Any] = []
        self._last_flush = time.monotonic()

    def log(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Note metrics at `step` (optimizer updates); sent in batches every few seconds and when the run ends."""
        if self.connection is None:
            return
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._metrics += [Metric(key, float(value), now, step or 0) for key, value in metrics.items()]
        if len(self._metrics) >= BATCH_METRICS or time.monotonic() - self._last_flush > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Send the buffered metrics."""
        pending, self._metrics, self._last_flush = self._metrics, [], time.monotonic()
        for start in range(0, len(pending), BATCH_METRICS):
            self._send("log_batch", metrics=pending[start : start + BATCH_METRICS])

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Copy a file, or a directory with its content, into the run's artifacts."""
        assert path.exists(), path
        if path.is_dir():
            self._send("log_artifacts", str(path), folder or path.name)
        else:
            self._send("log_artifact", str(path), folder)

    def text(self, text: str, name: str) -> None:
        """Write a small text artifact under `name`, a relative path with a suffix."""
        self._send("log_text", text, name)

    def dataset(self, frame: "pandas.DataFrame", name: str, source: str, context: str) -> None:
        """Record that the run read `frame`: its schema, size and digest, not its rows."""
        if self.connection is None:
            return
        import mlflow.data
        from mlflow.entities import DatasetInput, InputTag

        entity = mlflow.data.from_pandas(frame, source=source, name=name)._to_mlflow_entity()
        tag = InputTag("mlflow.data.context", context)
        self._send("log_inputs", datasets=[DatasetInput(entity, tags=[tag])])

    def pointer(self, path: Path, name: str) -> None:
        """Note where a big output lies, its bytes and its MD5 (DVC's hash for a file) instead of copying it."""
        if self.connection is None:
            return
        files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
        facts = [{"path": _relative(f, self.root), "md5": _md5(f), "bytes": f.stat().st_size} for f in files]
        self.text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", f"pointers/{name}.json")

    def tag(self, key: str, value: object) -> None:
        """Set a tag of the run."""
        self._send("set_tag", key, str(value))

    def register(self, checkpoint: Path, name: str, *, input_example: list[str], params: Mapping[str, object],
                 metrics: Mapping[str, float]) -> str | None:  # fmt: skip
        """Log the checkpoint as a servable model and register it as the next version of `name`.

        `params` are inference defaults that become the served model's signature, `metrics` are test figures
        that become tags of the version. The first version ever gets the alias `champion`. Returns the version.
        """
        if self.connection is None:
            return None
        from groundup import registry

        with self._forgiving():
            return registry.register(self.connection, self.run_id, checkpoint, name, input_example, params, metrics)
        return None

    def _send(self, method: str, *args: Any, **kwargs: Any) -> None:
        if self.connection is not None:
            with self._forgiving():
                getattr(self.connection.client, method)(self.run_id, *args, **kwargs)

    @contextmanager
    def _forgiving(self) -> Iterator[None]:
        """A tracking store that fails in the middle of a stage must not cost the stage's work."""
        from mlflow.exceptions import MlflowException

        try:
            yield
        except (MlflowException, OSError) as error:
            print(f"warning: MLflow did not take this: {_first_line(error)}", file=sys.stderr)


def silent() -> Run:
    """A run that logs nowhere: lets a stage's main be called without MLflow."""
    return Run(None, "", Path())


@contextmanager
def stage_run(name: str, params: Mapping[str, Any], tags: Mapping[str, str], *, root: Path,
              parent_run_id: str | None = None, pipeline: ProcessId | None = None) -> Iterator[Run]:  # fmt: skip
    """Open the run of one stage; it ends FINISHED, FAILED (any error) or KILLED (Ctrl-C, SIGTERM).

    Args:
        params: sections (dataclasses or mappings), logged flat as `section.key`.
        root: the project's folder: home of the default database, mlflow.db, and of its artifacts, mlruns/.
        parent_run_id: the run that the stage belongs to, or
        pipeline: the process whose stages share a parent run, found or created here. None: no parent.

    Raises:
        BadInput: MLflow cannot be reached or cannot be written to.
    """
    connection = connect(root)
    client = connection.client
    shared = None if parent_run_id or pipeline is None else _shared_parent(connection, pipeline, tags)
    run_id = _create(connection, name, {"kind": "stage", "stage": name, **tags}, parent_run_id or shared)
    run = Run(connection, run_id, root)
    run._send("log_batch", params=_params(params)[:BATCH_PARAMS])
    for start in range(BATCH_PARAMS, len(_params(params)), BATCH_PARAMS):
        run._send("log_batch", params=_params(params)[start : start + BATCH_PARAMS])
    with _sigterm_raises(), _system_metrics(connection, run_id):
        status = "FINISHED"
        try:
            yield run
        except BaseException as error:
            status = _status_of(error)
            run.tag("error", f"{type(error).__name__}: {_first_line(error)}"[:500])
            raise
        finally:
            run.flush()
            run._send("set_terminated", status)
            if shared:
                with run._forgiving():
                    _end_shared_parent(client, shared, name, status)


@contextmanager
def pipeline_run(name: str, tags: Mapping[str, str], *, root: Path) -> Iterator[Run]:
    """Open a parent run owned by the calling process, for whoever starts the stages itself."""
    connection = connect(root)
    run = Run(connection, _create(connection, name, {"kind": "pipeline", **tags}, None), root)
    status = "FINISHED"
    try:
        yield run
    except BaseException as error:
        status = _status_of(error)
        raise
    finally:
        run.flush()
        run._send("set_terminated", status)


def mark_cached(run: Run, stage: str, stage_key: str) -> str | None:
    """Leave a marker for a stage that had nothing to do, under parent `run`; link the run that did the work.

    Returns the id of the run that produced the outputs, found by its stage key, or None.
    """
    if run.connection is None:
        return None
    client, experiment = run.connection.client, run.connection.experiment_id
    with run._forgiving():
        wanted = f"tags.kind = 'stage' and tags.stage_key = '{stage_key}' and attributes.status = 'FINISHED'"
        found = client.search_runs([experiment], wanted, max_results=1, order_by=["attributes.start_time DESC"])
        producer = found[0].info.run_id if found else None
        link = f"[{producer}](#/experiments/{experiment}/runs/{producer})" if producer else "no run of this database"
        tags = {"kind": "cached", "stage": stage, "stage_key": stage_key, "produced_by": producer or "",
                "mlflow.note.content": f"Nothing to do: DVC has the outputs already. Produced by {link}."}  # fmt: skip
        marker = _create(run.connection, f"{stage} (cached)", tags, run.run_id)
        client.set_terminated(marker, "FINISHED")
        return producer
    return None


def connect(root: Path) -> Connection:
    """Open the tracking store named by MLFLOW_TRACKING_URI, by default `root`/mlflow.db, and sweep it.

    Raises:
        BadInput: it cannot be reached, or its schema is of another MLflow version.
    """
    for key, value in _DEFAULTS.items():
        os.environ.setdefault(key, value)
    default = not os.environ.get("MLFLOW_TRACKING_URI")
    uri = f"sqlite:///{root.resolve() / 'mlflow.db'}" if default else os.environ["MLFLOW_TRACKING_URI"]
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or "groundup"
    with _without_garbage_collection():
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        if uri.startswith("sqlite"):
            import mlflow.store.tracking.sqlalchemy_store  # noqa: F401  (outside of the lock: it takes a second)
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        with _locked(uri):  # two processes that create the database at once break each other's migration
            client = MlflowClient(uri, registry_uri=uri)
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                place = (root.resolve() / "mlruns" / quote(name, safe="")).as_uri() if default else None
                experiment = client.get_experiment(client.create_experiment(name, artifact_location=place))
        if experiment.lifecycle_stage != "active":
            raise BadInput(f"MLflow's experiment {name!r} at {uri} is deleted; restore it or set another "
                           "MLFLOW_EXPERIMENT_NAME")  # fmt: skip
        connection = Connection(client, uri, experiment.experiment_id)
        _sweep(connection)
    except (MlflowException, OSError) as error:
        raise BadInput(f"MLflow at {uri} cannot be used ({_first_line(error)}); start that server or point "
                       "MLFLOW_TRACKING_URI to a store that works (unset: mlflow.db in the project)") from error  # fmt: skip
    return connection


def _create(connection: Connection, name: str, tags: Mapping[str, str], parent: str | None,
            owner: ProcessId | None = None) -> str:  # fmt: skip
    """Create a RUNNING run that can be swept once its owner, by default this process, is dead."""
    owner = owner or processes.current()
    nested = {"mlflow.parentRunId": parent} if parent else {}
    everything = {**tags, **nested, "process": str(owner), "host": owner.host}
    run = connection.client.create_run(connection.experiment_id, tags=everything, run_name=name)
    return str(run.info.run_id)


def _sweep(connection: Connection) -> None:
    """End as KILLED the runs of this host whose process was killed too hard to say so (kill -9), and their parents."""
    client, host = connection.client, processes.current().host
    stale = f"attributes.status = 'RUNNING' and tags.host = '{host}'"
    for run in client.search_runs([connection.experiment_id], stale):
        if not ProcessId.parse(run.data.tags["process"]).is_alive():
            client.set_terminated(run.info.run_id, "KILLED")
            if parent := run.data.tags.get("mlflow.parentRunId"):
                client.set_tag(parent, "ended_badly", f"{run.info.run_name}: KILLED")
                client.set_terminated(parent, "KILLED")


def _shared_parent(connection: Connection, pipeline: ProcessId, tags: Mapping[str, str]) -> str:
    """The parent run of all stages started by one process: created by the first, found by the others."""
    wanted = f"tags.kind = 'pipeline' and tags.process = '{pipeline}'"
    found = connection.client.search_runs([connection.experiment_id], wanted, max_results=1)
    if found:
        connection.client.update_run(found[0].info.run_id, status="RUNNING")
        return str(found[0].info.run_id)
    own = ("stage_key", "data.")  # facts of the stage, not of the pipeline
    kept = {key: value for key, value in tags.items() if not key.startswith(own)}
    return _create(connection, "pipeline", {**kept, "kind": "pipeline"}, None, owner=pipeline)


def _end_shared_parent(client: Any, parent: str, stage: str, status: str) -> None:
    """Nobody knows which stage is the last one: each leaves the parent ended, and a bad end stays."""
    if status != "FINISHED":
        client.set_tag(parent, "ended_badly", f"{stage}: {status}")
    worst = client.get_run(parent).data.tags.get("ended_badly", "FINISHED")
    client.set_terminated(parent, worst.rsplit(" ", 1)[-1])


def _status_of(error: BaseException) -> str:
    if isinstance(error, SystemExit) and not error.code:
        return "FINISHED"
    return "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED"


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    """Turn SIGTERM, which would end the process on the spot, into an exception."""
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
def _system_metrics(connection: Connection, run_id: str) -> Iterator[None]:
    """Sample processor, memory, disk and network in a thread of MLflow's."""
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    monitor = SystemMetricsMonitor(run_id, tracking_uri=connection.uri)
    monitor.start()
    try:
        yield
    finally:
        monitor.finish()


@contextmanager
def _locked(uri: str) -> Iterator[None]:
    """Hold a lock that all processes of this machine share for one SQLite database; nothing for a server."""
    if not uri.startswith("sqlite"):
        yield
        return
    import fcntl

    key = hashlib.sha256(uri.encode()).hexdigest()[:16]
    with open(Path(tempfile.gettempdir()) / f"groundup-mlflow-{os.getuid()}-{key}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """MLflow's 2,000 modules import a fifth faster when the collector does not walk them again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _params(sections: Mapping[str, Any]) -> list[Any]:
    from mlflow.entities import Param

    return [Param(key, str(value)[:6000]) for key, value in flatten(sections).items()]


def flatten(sections: Mapping[str, Any]) -> dict[str, object]:
    """Nested mappings and dataclasses as one level with dotted keys.

    >>> flatten({"pretrain": {"max_steps": 3, "optimizer": {"name": "adamw"}}})
    {'pretrain.max_steps': 3, 'pretrain.optimizer.name': 'adamw'}
    """
    flat: dict[str, object] = {}
    for key, value in sections.items():
        value = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
        if isinstance(value, Mapping):
            flat |= {f"{key}.{inner}": leaf for inner, leaf in flatten(value).items()}
        else:
            flat[str(key)] = value
    return flat


def _relative(path: Path, root: Path) -> str:
    path, root = path.resolve(), root.resolve()
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
