"""Opens the MLflow store, safely for many processes at once, and ends the runs of killed processes."""

import gc
import hashlib
import logging
import os
import sqlite3
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

from groundup.errors import BadInput, first_line, masked
from groundup.files import atomic_path, held
from groundup.tracking import processes, servers, unsent
from groundup.tracking.database import DatabaseRecorder, experiment_of
from groundup.tracking.processes import ProcessId
from groundup.tracking.recorder import Recorder
from groundup.tracking.relocation import ARTIFACTS, database_of, follow
from groundup.tracking.servers import shown

_DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    # a server that is down or hangs is noticed in about a minute, instead of a quarter of an hour
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",  # seconds
    "PGCONNECT_TIMEOUT": "10",
    "AWS_DEFAULTS_MODE": "standard",  # gives up connecting to S3 after three attempts of 3 seconds
    "MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL": "5",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}
LOCK_SECONDS = 300.0  # opening a store takes seconds, on a busy machine a minute


@dataclass(frozen=True)
class Connection:
    """A store with the experiment to which it writes.

    Attributes:
        uri: its address, as in MLFLOW_TRACKING_URI, for a database server with limits on the time to wait.
        experiment_id: MLflow's id of the experiment.
        root: the project's folder.
        database: the store's SQLite database, if its schema is known, so that stages write to it directly.
    """

    uri: str
    experiment_id: str
    root: Path
    database: Path | None = None

    @cached_property
    def client(self) -> Any:
        """An mlflow.MlflowClient; the first use imports MLflow, which takes seconds."""
        return _client_of(self.uri)

    @cached_property
    def recorder(self) -> Recorder:
        """What stages record with; it imports MLflow only if the store is not a known database."""
        return DatabaseRecorder(self, self.database) if self.database else Recorder(self)


def set_defaults() -> None:
    """Set the environment variables that MLflow reads, except those that the user has set."""
    for key, value in _DEFAULTS.items():
        os.environ.setdefault(key, value)


def experiment_name() -> str:
    """Return the name of the MLflow experiment with all runs: MLFLOW_EXPERIMENT_NAME, by default groundup."""
    return os.environ.get("MLFLOW_EXPERIMENT_NAME") or "groundup"


def connect(root: Path, *, create: bool = True) -> Connection:
    """Open the tracking store MLFLOW_TRACKING_URI, by default `root`/mlflow.db.

    The paths in an SQLite store that was moved are corrected first (relocation.py), and a database server is asked
    whether it answers (servers.py). Then metrics that earlier stages could not send are sent, and the runs of dead
    processes are ended.

    Args:
        root: the project's folder.
        create: create the store if it does not exist.

    Raises:
        BadInput: the store cannot be reached, has the schema of another MLflow version, has no place for artifacts,
            or its experiment is deleted; or `create` is False and there is no SQLite store.
    """
    set_defaults()
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root.resolve() / 'mlflow.db'}"
    uri = servers.patient(uri)
    name, database = experiment_name(), database_of(uri)
    if database and not create and not database.exists():
        raise BadInput(
            f"there is no MLflow store at {database}; expected one that `make repro` has made: change to the project's "
            "folder, or point MLFLOW_TRACKING_URI to a store"
        )
    with explained(uri):
        if servers.is_database(uri):
            servers.check(uri)
            _import_mlflow(uri)  # before the lock, for which others wait
        with _locked(uri):  # two processes that create the database at once break each other's migration
            if database:
                follow(database)
            known = experiment_of(database, name) if database else None
            experiment_id, active = known or _experiment_of(_client_of(uri), uri, name)
        if not active:
            raise BadInput(
                f"MLflow's experiment {name!r} at {shown(uri)} is deleted; restore it or set another "
                "MLFLOW_EXPERIMENT_NAME"
            )
        direct = database is not None and experiment_of(database, name) is not None
        connection = Connection(uri, experiment_id, root, database if direct else None)
        unsent.send(connection, root)
        _sweep(connection)
    return connection


def _experiment_of(client: Any, uri: str, name: str) -> tuple[str, bool]:
    """Return the id of an experiment, created if it does not exist, and whether it is active."""
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        place = _artifacts(uri, name)
        try:
            client.create_experiment(name, place)
        except errors_of_store() as error:
            if (
                getattr(error, "error_code", "") != "RESOURCE_ALREADY_EXISTS"
            ):  # another client has just created it
                raise
        experiment = client.get_experiment_by_name(name)
    if servers.is_database(uri):
        servers.check_place(experiment.artifact_location, uri)
    return str(experiment.experiment_id), experiment.lifecycle_stage == "active"


def _client_of(uri: str) -> Any:
    """Return an mlflow.MlflowClient of a store; an SQLite database is created if it does not exist."""
    _import_mlflow(uri)
    from mlflow import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    _make_database(uri)
    return MlflowClient(uri, registry_uri=uri)


def _make_database(uri: str) -> None:
    """Create a missing SQLite database under another name, then rename it: MLflow refuses an incomplete database."""
    path = Path(uri.removeprefix("sqlite:///"))
    if not uri.startswith("sqlite:///") or "?" in uri or path.exists():
        return
    from mlflow.store.db.utils import _safe_initialize_tables, create_sqlalchemy_engine

    with atomic_path(path) as temporary:
        engine = create_sqlalchemy_engine(f"sqlite:///{temporary}")
        _safe_initialize_tables(engine)
        engine.dispose()


@contextmanager
def explained(uri: str) -> Iterator[None]:
    """Turn errors of MLflow in the block into one sentence.

    Raises:
        BadInput: the store failed or refused a request.
    """
    try:
        yield
    except errors_of_store() as error:
        if servers.is_other_module(error):
            raise
        cause = first_line(error)
        if not (remedy := servers.remedy(error)):
            remedy = "start that server"
            if database := database_of(uri):
                remedy = f"check that {database} and {ARTIFACTS}/ in its folder are complete and writable"
                if "database is locked" in cause:  # by a process that writes; MLflow's own errors say it too
                    remedy = "end the process that writes to it and try again"
        raise BadInput(
            f"MLflow at {shown(uri)} cannot be used ({cause}); {remedy}, or point MLFLOW_TRACKING_URI to a "
            "store that works (unset: mlflow.db in the project)"
        ) from error


def errors_of_store() -> tuple[type[Exception], ...]:
    """Return the errors of a store that fails or refuses a request; MLflow is not imported to name its own."""
    # UnicodeError: a text that is not UTF-8, such as a file name
    errors: list[type[Exception]] = [OSError, sqlite3.Error, UnicodeError, *servers.errors()]
    if "mlflow" in sys.modules:
        from mlflow.exceptions import MlflowException

        errors.append(MlflowException)
    return tuple(errors)


@contextmanager
def fluent(connection: Connection) -> Iterator[None]:
    """Point MLflow's module-level functions to the connection's store and experiment while the block runs."""
    import mlflow

    mlflow.set_tracking_uri(connection.uri)
    mlflow.set_registry_uri(connection.uri)
    with environment({"MLFLOW_EXPERIMENT_ID": connection.experiment_id}):
        yield


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables while the block runs."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def create_run(
    connection: Connection,
    name: str,
    tags: Mapping[str, str],
    parent: str | None,
    owner: ProcessId | None = None,
) -> str:
    """Create a run with status RUNNING and return its id.

    Args:
        connection: the store.
        name: the run's name.
        tags: tags of the run.
        parent: the id of the parent run, or None.
        owner: the process after whose death `_sweep` may end the run; None: this process.
    """
    owner = owner or processes.current()
    nested = {"mlflow.parentRunId": parent} if parent else {}
    source = {"mlflow.user": processes.user(), "mlflow.source.type": "LOCAL"}
    given = {key: masked(value) for key, value in tags.items()}
    everything = {**source, **given, **nested, "process": str(owner), "host": owner.host}
    return connection.recorder.create(masked(name), everything)


def _sweep(connection: Connection) -> None:
    """End the runs on this host whose process died without ending them (kill -9), and their parents, as KILLED."""
    recorder = connection.recorder
    for run in recorder.running(processes.current().host):
        dead = not ProcessId.parse(run.process).is_alive()
        # the process may have ended its run, and then itself, after the search
        if dead and recorder.status(run.run_id) == "RUNNING":
            recorder.end(run.run_id, "KILLED")
            if run.parent:
                recorder.tag(run.parent, "ended_badly", f"{run.name}: KILLED")
                recorder.end(run.parent, "KILLED")


def end_lost(connection: Connection, parent: str, stage: str) -> None:
    """End the runs of a stage below `parent`, and their child runs, as KILLED: their machine is lost.

    `_sweep` cannot do it, since it knows only the processes of this host.
    """
    recorder = connection.recorder
    while lost := recorder.find({"kind": "stage", "stage": stage, "mlflow.parentRunId": parent}, "RUNNING"):
        while part := recorder.find({"mlflow.parentRunId": lost}, "RUNNING"):
            recorder.end(part, "KILLED")
        recorder.end(lost, "KILLED")


def _artifacts(uri: str, experiment: str) -> str | None:
    """Return where an experiment's artifacts go: into mlruns/ next to an SQLite database; None: the server decides.

    MLflow's own default is a folder of the working folder.

    Raises:
        BadInput: the store is a database server, and no place for artifacts is set.
    """
    if servers.is_database(uri):
        return servers.artifacts(uri, experiment)
    database = database_of(uri)
    return (database.parent / ARTIFACTS / quote(experiment, safe="")).as_uri() if database else None


@contextmanager
def _locked(uri: str) -> Iterator[None]:
    """Hold a lock that all processes share for one database: for SQLite, those on this machine."""
    if servers.is_database(uri):
        with servers.locked(uri):
            yield
        return
    if not uri.startswith("sqlite"):
        yield
        return
    key = hashlib.sha256(uri.encode()).hexdigest()[:16]
    place = Path(tempfile.gettempdir()) / f"groundup-mlflow-{os.getuid()}-{key}.lock"
    with held(place, f"open the MLflow store {uri}", LOCK_SECONDS):
        yield


_importing = threading.RLock()
# a process that is forked while another thread imports would wait for that import for ever
os.register_at_fork(
    before=_importing.acquire, after_in_parent=_importing.release, after_in_child=_importing.release
)


def _import_mlflow(uri: str) -> None:
    """Import what a store needs; the first time without garbage collection, so that commands take a third less time.

    MLflow has 2,000 modules, whose objects live as long as the process. They are frozen, so that later collections,
    also the one at the end of the process, do not visit them.
    """
    with _importing:
        collects = gc.isenabled() and "mlflow" not in sys.modules
        if collects:
            gc.disable()
        try:
            import mlflow

            if uri.startswith("sqlite") or servers.is_database(uri):
                import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
        finally:
            if collects:
                gc.freeze()
                gc.enable()
