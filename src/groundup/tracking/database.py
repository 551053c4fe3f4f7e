"""Writes what a stage records into MLflow's SQLite database, without importing MLflow.

The import takes longer than most stages take to work: a second on a fast machine, three on a slow one. This module
writes the rows that MLflow's client would write, and a test compares the two. It knows one schema of the database,
SCHEMA. For a database with another schema, and for whatever is unusual, such as a changed parameter, which MLflow
refuses, MLflow's client is used.
"""

import math
import posixpath
import re
import shutil
import sqlite3
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from groundup.errors import BadInput
from groundup.tracking.recorder import Ended, Input, Metric, Recorder, Running

if TYPE_CHECKING:
    from groundup.tracking.store import Connection

SCHEMA = "dc11669786a5"  # the last migration of the database (alembic) of MLflow 3.17
BUSY_SECONDS = 60.0  # the longest wait for another process that writes
LARGEST = 1.7976931348623157e308  # what MLflow stores for an infinite metric
_KEY = re.compile(r"\w[\w./ -]{0,249}", re.ASCII)
_LONGEST = 5000  # characters of a value that MLflow stores as it is; its limits are 6000 (parameters) and 8000 (tags)


class DatabaseRecorder(Recorder):
    """Records directly in an SQLite database with the schema SCHEMA."""

    def __init__(self, connection: "Connection", database: Path) -> None:
        """Record in the experiment of a connection, in its database."""
        super().__init__(connection)
        self._database = database

    def create(self, name: str, tags: Mapping[str, str]) -> str:
        folder = self._folder()
        if folder is None or not name or len(name) > 250 or not _all_plain(tags):
            return super().create(name, tags)
        run_id = uuid.uuid4().hex
        row = {
            "run_uuid": run_id,
            "name": name,
            "source_type": "UNKNOWN",
            "source_name": "",
            "entry_point_name": "",
            "user_id": tags.get("mlflow.user", "unknown"),
            "status": "RUNNING",
            "start_time": _now(),
            "source_version": "",
            "lifecycle_stage": "active",
            "artifact_uri": f"{folder.rstrip('/')}/{run_id}/artifacts",
            "experiment_id": int(self._connection.experiment_id),
        }
        everything = {**tags, "mlflow.runName": name}
        with closing(open_database(self._database)) as store:
            store.execute("BEGIN IMMEDIATE")
            _insert(store, "runs", [row])
            _insert(
                store, "tags", [{"key": k, "value": v, "run_uuid": run_id} for k, v in everything.items()]
            )
            store.execute("COMMIT")
        return run_id

    def reach_artifacts(self, run_id: str) -> None:
        if self._artifacts(run_id, None) is None:
            super().reach_artifacts(run_id)

    def params(self, run_id: str, params: Mapping[str, str]) -> None:
        def write(store: sqlite3.Connection) -> bool:
            known = dict(store.execute("SELECT key, value FROM params WHERE run_uuid = ?", [run_id]))
            rows = [
                {"key": key, "value": value, "run_uuid": run_id}
                for key, value in params.items()
                if key not in known
            ]
            _insert(store, "params", rows)
            return all(known.get(key, value) == value for key, value in params.items())

        if not (_all_plain(params) and self._write(run_id, write)):
            super().params(run_id, params)

    def metrics(self, run_id: str, metrics: Sequence[Metric]) -> None:
        def write(store: sqlite3.Connection) -> bool:
            rows = [(one.key, *_stored(one.value), one.timestamp, one.step, run_id) for one in metrics]
            into = "(key, value, is_nan, timestamp, step, run_uuid) VALUES (?, ?, ?, ?, ?, ?)"
            store.executemany(f"INSERT OR IGNORE INTO metrics {into}", rows)
            store.executemany(
                f"INSERT INTO latest_metrics {into} ON CONFLICT (key, run_uuid) DO UPDATE SET value = excluded.value, "
                "is_nan = excluded.is_nan, timestamp = excluded.timestamp, step = excluded.step WHERE (excluded.step, "
                "excluded.timestamp, excluded.value) > (latest_metrics.step, latest_metrics.timestamp, "
                "latest_metrics.value)",
                rows,
            )
            return True

        if not (_all_plain({one.key: "" for one in metrics}) and self._write(run_id, write)):
            super().metrics(run_id, metrics)

    def tag(self, run_id: str, key: str, value: str) -> None:
        def write(store: sqlite3.Connection) -> bool:
            store.execute(
                "INSERT INTO tags (key, value, run_uuid) VALUES (?, ?, ?) ON CONFLICT (key, run_uuid) DO UPDATE SET "
                "value = excluded.value",
                (key, value, run_id),
            )
            return True

        plain = _all_plain({key: value}) and key != "mlflow.runName"  # which is also a column
        if not (plain and self._write(run_id, write)):
            super().tag(run_id, key, value)

    def input(self, run_id: str, dataset: Input) -> None:
        def write(store: sqlite3.Connection) -> bool:
            where = [*self._experiment, dataset.name, dataset.digest]
            query = "SELECT dataset_uuid FROM datasets WHERE experiment_id = ? AND name = ? AND digest = ?"
            [dataset_id] = store.execute(query, where).fetchone() or [None]
            if dataset_id is None:
                dataset_id = uuid.uuid4().hex
                row = {
                    "dataset_uuid": dataset_id,
                    "experiment_id": int(self._connection.experiment_id),
                    "name": dataset.name,
                    "digest": dataset.digest,
                    "dataset_source_type": "code",
                    "dataset_source": dataset.source,
                    "dataset_schema": dataset.schema,
                    "dataset_profile": dataset.profile,
                }
                _insert(store, "datasets", [row])
            edge = {
                "input_uuid": uuid.uuid4().hex,
                "source_type": "DATASET",
                "source_id": dataset_id,
                "destination_type": "RUN",
                "destination_id": run_id,
            }
            if _insert(store, "inputs", [edge]):
                tag = {
                    "input_uuid": edge["input_uuid"],
                    "name": "mlflow.data.context",
                    "value": dataset.context,
                }
                _insert(store, "input_tags", [tag])
            return True

        if not self._write(run_id, write):
            super().input(run_id, dataset)

    def artifact(self, run_id: str, path: Path, folder: str | None) -> None:
        place = self._artifacts(run_id, folder)
        if place is None:
            super().artifact(run_id, path, folder)
        elif path.is_dir():
            shutil.copytree(path, place, dirs_exist_ok=True)
        else:
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, place / path.name)

    def text(self, run_id: str, text: str, name: str) -> None:
        place = self._artifacts(run_id, name)
        if place is None:
            super().text(run_id, text, name)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text, encoding="utf-8")

    def end(self, run_id: str, status: str, end_time: int | None = None) -> None:
        def write(store: sqlite3.Connection) -> bool:
            store.execute(
                "UPDATE runs SET status = ?, end_time = ? WHERE run_uuid = ?",
                (status, _now() if end_time is None else end_time, run_id),
            )
            return True

        if not self._write(run_id, write):
            super().end(run_id, status, end_time)

    def reopen(self, run_id: str) -> None:
        def write(store: sqlite3.Connection) -> bool:
            store.execute("UPDATE runs SET status = 'RUNNING' WHERE run_uuid = ?", [run_id])
            return True

        if not self._write(run_id, write):
            super().reopen(run_id)

    def status(self, run_id: str) -> str:
        found = self._rows("SELECT status FROM runs WHERE run_uuid = ?", [run_id])
        return str(found[0][0]) if found else super().status(run_id)

    def tags(self, run_id: str) -> dict[str, str]:
        return dict(self._rows("SELECT key, value FROM tags WHERE run_uuid = ?", [run_id]))

    def find(self, tags: Mapping[str, str], status: str | None = None) -> str | None:
        having = "run_uuid IN (SELECT run_uuid FROM tags WHERE key = ? AND value = ?)"
        wanted = ["experiment_id = ?", "lifecycle_stage = 'active'", *[having] * len(tags)]
        values: list[Any] = [*self._experiment, *(word for tag in tags.items() for word in tag)]
        if status:
            wanted, values = [*wanted, "status = ?"], [*values, status]
        query = f"SELECT run_uuid FROM runs WHERE {' AND '.join(wanted)} ORDER BY start_time DESC LIMIT 1"
        found = self._rows(query, values)
        return str(found[0][0]) if found else None

    def run(self, run_id: str) -> Ended:
        found = self._rows("SELECT status, start_time, end_time FROM runs WHERE run_uuid = ?", [run_id])
        if not found:
            return super().run(run_id)
        [(status, start, end)] = found
        metrics = self._rows("SELECT key, value FROM latest_metrics WHERE run_uuid = ?", [run_id])
        return Ended(run_id, status, start, end, self.tags(run_id), dict(metrics))

    def stages_since(self, start: int) -> list[Ended]:
        query = (
            "SELECT run_uuid FROM runs WHERE experiment_id = ? AND lifecycle_stage = 'active' AND start_time >= ? AND "
            "run_uuid IN (SELECT run_uuid FROM tags WHERE key = 'kind' AND value = 'stage') ORDER BY start_time"
        )
        return [self.run(run_id) for [run_id] in self._rows(query, [*self._experiment, start])]

    def running(self, host: str) -> list[Running]:
        query = (
            "SELECT runs.run_uuid, runs.name, process.value, parent.value FROM runs "
            "JOIN tags host ON host.run_uuid = runs.run_uuid AND host.key = 'host' "
            "JOIN tags process ON process.run_uuid = runs.run_uuid AND process.key = 'process' "
            "LEFT JOIN tags parent ON parent.run_uuid = runs.run_uuid AND parent.key = 'mlflow.parentRunId' "
            "WHERE runs.experiment_id = ? AND runs.lifecycle_stage = 'active' AND runs.status = 'RUNNING' "
            "AND host.value = ? ORDER BY runs.start_time DESC"
        )
        return [Running(*row) for row in self._rows(query, [*self._experiment, host])]

    @property
    def _experiment(self) -> list[int]:
        return [int(self._connection.experiment_id)]

    def _folder(self) -> str | None:
        """Return the folder of the experiment's artifacts; None without an experiment, or with a folder elsewhere."""
        query = (
            "SELECT artifact_location FROM experiments WHERE experiment_id = ? AND lifecycle_stage = 'active'"
        )
        [folder] = next(iter(self._rows(query, self._experiment)), [None])
        return folder if folder and folder.startswith(("file:///", "/")) else None

    def _write(self, run_id: str, write: Callable[[sqlite3.Connection], bool]) -> bool:
        """Call `write` in a transaction; undo it and return False if it returns False or the run is unknown."""
        with closing(open_database(self._database)) as store:
            store.execute("BEGIN IMMEDIATE")
            active = "SELECT 1 FROM runs WHERE run_uuid = ? AND lifecycle_stage = 'active'"
            if not store.execute(active, [run_id]).fetchone() or not write(store):
                return False
            store.execute("COMMIT")
        return True

    def _rows(self, query: str, values: Sequence[Any]) -> list[Any]:
        with closing(open_database(self._database)) as store:
            return store.execute(query, values).fetchall()

    def _artifacts(self, run_id: str, name: str | None) -> Path | None:
        """Return a place in the folder of a run's artifacts; None if that is not a folder of this machine."""
        found = self._rows("SELECT artifact_uri FROM runs WHERE run_uuid = ?", [run_id])
        recorded = str(found[0][0]) if found else ""
        folder = unquote(urlsplit(recorded).path) if recorded.startswith("file:///") else recorded
        if not folder.startswith("/") or (name and (posixpath.normpath(name) != name or name[0] in "./")):
            return None
        return Path(folder, name or "")


def experiment_of(database: Path, name: str) -> tuple[str, bool] | None:
    """Return the id of an experiment and whether it is active.

    None: there is no such database or experiment, or the database has another schema than SCHEMA.

    Raises:
        BadInput: another process has been writing to the database for too long.
    """
    query = "SELECT experiment_id, lifecycle_stage FROM experiments WHERE name = ? AND workspace = 'default'"
    try:
        with closing(open_database(database)) as store:
            if store.execute("SELECT version_num FROM alembic_version").fetchall() != [(SCHEMA,)]:
                return None
            found = store.execute(query, [name]).fetchone()
    except sqlite3.Error as error:  # MLflow reports what is wrong
        require_free(database, error)
        return None
    return (str(found[0]), found[1] == "active") if found else None


def open_database(database: Path) -> sqlite3.Connection:
    """Open an existing database; transactions are begun by the caller."""
    uri = f"{database.as_uri()}?mode=rw"
    return sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None)


def require_free(database: Path, error: sqlite3.Error) -> None:
    """Raise BadInput if an error means that another process has written to the database all the time."""
    if getattr(error, "sqlite_errorname", "").startswith("SQLITE_BUSY"):
        raise BadInput(
            f"waited {BUSY_SECONDS:g} s for another process that writes to {database}; expected it to end its write in "
            "seconds: end or resume that process, and try again"
        ) from error


def _insert(store: sqlite3.Connection, table: str, rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert rows, except those whose primary key exists; return the number of inserted rows."""
    if not rows:
        return 0
    columns = list(rows[0])
    marks = ", ".join("?" * len(columns))
    query = f"INSERT OR IGNORE INTO {table} ({', '.join(columns)}) VALUES ({marks})"
    return store.executemany(query, [[row[column] for column in columns] for row in rows]).rowcount


def _all_plain(values: Mapping[str, str]) -> bool:
    """Return whether MLflow accepts all keys and values as they are."""
    return all(_is_plain(key) and len(value) <= _LONGEST for key, value in values.items())


def _is_plain(key: str) -> bool:
    return bool(_KEY.fullmatch(key)) and posixpath.normpath(key) == key


def _stored(value: float) -> tuple[float, bool]:
    """Return the number that MLflow stores for the value of a metric, and whether it is NaN."""
    if math.isnan(value):
        return 0.0, True
    return (math.copysign(LARGEST, value) if math.isinf(value) else value), False


def _now() -> int:
    return int(time.time() * 1000)
