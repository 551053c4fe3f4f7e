"""Correct the absolute paths of artifacts that MLflow recorded, after a project was moved, renamed or copied.

MLflow 3.17 makes relative paths absolute when it records them, and has no command to change them.
"""

import os
import sqlite3
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import yaml

from groundup.errors import BadInput
from groundup.files import write_text
from groundup.tracking.database import open_database, require_free

ARTIFACTS = "mlruns"  # in the folder of the database
# columns of MLflow's tables with paths in the experiment's folder
PLACES = (
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("trace_tags", "value"),
)


@dataclass(frozen=True)
class _Move:
    """An experiment whose artifacts are recorded in a folder other than the database's."""

    experiment: int
    recorded: str  # the experiment's folder as recorded by MLflow: a file URI or a path
    place: Path  # the same as a path
    old: Path  # the folder of the database when the experiment was created
    new: Path

    @property
    def corrected(self) -> str:
        """The current path, in the form in which it was recorded."""
        place = self.new / ARTIFACTS / self.place.name
        return place.as_uri() if self.recorded.startswith("file:") else str(place)

    @property
    def artifacts_are_here(self) -> bool:
        """Whether the artifacts were moved too; also true if they exist nowhere."""
        return (self.new / ARTIFACTS / self.place.name).exists() or not self.place.exists()


def database_of(uri: str) -> Path | None:
    """Return the file of an SQLite store, or None for a server."""
    return Path(uri.removeprefix("sqlite:///")).resolve() if uri.startswith("sqlite:///") else None


def follow(database: Path) -> None:
    """Correct the paths that MLflow recorded when `database` was in another folder: they now begin with its folder.

    Neither a moved project nor a copy may write to the folder in which the database was created. Experiments with
    artifacts elsewhere keep their paths, and so do the runs of a database that was copied without mlruns/.

    Raises:
        BadInput: there is something to correct, but the database cannot be written; or another process has been writing
            to it for too long.
    """
    if not database.exists():
        return
    with closing(open_database(database)) as store:
        try:
            moves = _moves(store, database)
        except sqlite3.DatabaseError as error:  # not a database, or another schema: MLflow reports that
            require_free(database, error)
            return
        if not moves:
            return
        try:
            store.execute("BEGIN IMMEDIATE")
            for move in _moves(store, database):
                if move.artifacts_are_here:
                    _correct_model_files(move)
                _correct(store, move)
            store.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            raise BadInput(
                f"{database} was moved here from {moves[0].old}, but its records cannot be corrected ({error}); make "
                f"it and {ARTIFACTS}/ writable"
            ) from error
    olds = ", ".join(dict.fromkeys(str(move.old) for move in moves))
    print(
        f"MLflow's records of artifacts in {olds} now point to {database.parent}, the folder of {database.name}",
        file=sys.stderr,
    )


def _moves(store: sqlite3.Connection, database: Path) -> list[_Move]:
    """List the experiments to correct: groundup's, and those that MLflow named by number in the same folder."""
    new, ours, numbered = database.parent, [], []
    rows = store.execute("SELECT experiment_id, name, artifact_location FROM experiments").fetchall()
    for experiment, name, recorded in rows:
        place = _local(recorded)
        if place is None or place.parent.name != ARTIFACTS or place.parents[1] == new:
            continue
        move = _Move(experiment, recorded, place, place.parents[1], new)
        # artifacts in a folder without this database were put there on purpose
        if not (move.artifacts_are_here or (move.old / database.name).exists()):
            continue
        if place.name == quote(name, safe=""):
            ours.append(move)
        # MLflow's own experiment is in the folder in which its first process ran
        elif place.name == str(experiment):
            numbered.append(move)
    olds = {move.old for move in ours}
    return ours + [move for move in numbered if move.old in olds]


def _local(recorded: str | None) -> Path | None:
    """Return the recorded path if it is on this machine, or None."""
    if not recorded:
        return None
    if recorded.startswith("file:"):
        return Path(unquote(urlsplit(recorded).path))
    return Path(recorded) if recorded.startswith("/") else None


def _correct(store: sqlite3.Connection, move: _Move) -> None:
    store.execute(
        "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?",
        (move.corrected, move.experiment),
    )
    if not move.artifacts_are_here:
        return
    # groundup's own tags: paths of the base models of adapters
    prefixes = [(table, column, move.recorded, move.corrected) for table, column in PLACES]
    prefixes.append(("model_version_tags", "value", str(move.old), str(move.new)))
    for table, column, old, new in prefixes:
        only = " AND key = 'base.folder'" if table == "model_version_tags" else ""
        store.execute(
            f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?{only}",
            (new, len(old) + 1, len(old) + 1, f"{old}/"),
        )


def _correct_model_files(move: _Move) -> None:
    """Correct the files MLmodel, which repeat the path of a model and of its base model."""
    for file in (move.new / ARTIFACTS / move.place.name).glob("models/*/artifacts/MLmodel"):
        described = yaml.safe_load(file.read_text(encoding="utf-8"))
        corrected = _replaced(described, move)
        if corrected != described:
            write_text(file, yaml.safe_dump(corrected, allow_unicode=True, default_flow_style=False))


def _replaced(value: Any, move: _Move) -> Any:
    """Return `value` with the old folder replaced by the new one in every string."""
    if isinstance(value, dict):
        return {key: _replaced(inner, move) for key, inner in value.items()}
    if isinstance(value, list):
        return [_replaced(inner, move) for inner in value]
    if isinstance(value, str):
        for old, new in ((str(move.old), str(move.new)), (move.old.as_uri(), move.new.as_uri())):
            if value.startswith(f"{old}/"):
                return new + value[len(old) :]
    return value


def main() -> None:
    """Correct the store that MLFLOW_TRACKING_URI names, before a command of MLflow itself reads it."""
    database = database_of(os.environ.get("MLFLOW_TRACKING_URI", ""))
    if database is None:
        return
    try:
        follow(database)
    except BadInput as error:
        sys.exit(f"error: {error}")
