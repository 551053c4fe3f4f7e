"""A project that was moved, renamed or copied: MLflow records absolute places of artifacts, which are corrected here.

MLflow 3.17 makes relative places absolute when it records them, and has no command that changes them.
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

ARTIFACTS = "mlruns"  # beside the database
# the columns that hold a place below the experiment's
PLACES = (
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


@dataclass(frozen=True)
class _Move:
    """An experiment whose artifacts are recorded in another folder than the database's."""

    experiment: int
    recorded: str  # as MLflow has it: a file URI or a path
    place: Path
    old: Path  # the folder of the database when the experiment was made
    new: Path

    @property
    def corrected(self) -> str:
        """The place now, in the form of the record."""
        place = self.new / ARTIFACTS / self.place.name
        return place.as_uri() if self.recorded.startswith("file:") else str(place)

    @property
    def artifacts_are_here(self) -> bool:
        """Whether the artifacts came along; those that are nowhere may as well be recorded here."""
        return (self.new / ARTIFACTS / self.place.name).exists() or not self.place.exists()


def database_of(uri: str) -> Path | None:
    """The file of an SQLite store; None for a server."""
    return Path(uri.removeprefix("sqlite:///")).resolve() if uri.startswith("sqlite:///") else None


def follow(database: Path) -> None:
    """Let every place that MLflow recorded beside `database` name the folder where the database lies now.

    Neither a moved project nor a copy may write to the folder that the database was made in. Experiments that
    were given a place of their own keep it, and so do the runs of a database that was copied without mlruns/.

    Raises:
        BadInput: there is something to correct, and the database cannot be written.
    """
    if not database.exists():
        return
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=rw", uri=True, timeout=60)) as store:
        store.isolation_level = None  # transactions are begun below
        try:
            moves = _moves(store, database)
        except sqlite3.DatabaseError:  # no database, or of another schema: MLflow says so
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
                f"{database} was moved here from {moves[0].old}, and its records cannot be corrected ({error}); make "
                f"it and {ARTIFACTS}/ writable"
            ) from error
    olds = ", ".join(dict.fromkeys(str(move.old) for move in moves))
    print(
        f"MLflow's records named artifacts in {olds}; they now name {database.parent}, where {database.name} lies",
        file=sys.stderr,
    )


def _moves(store: sqlite3.Connection, database: Path) -> list[_Move]:
    """The experiments to correct: groundup's, and with them those that MLflow named by number in the same folder."""
    new, ours, numbered = database.parent, [], []
    rows = store.execute("SELECT experiment_id, name, artifact_location FROM experiments").fetchall()
    for experiment, name, recorded in rows:
        place = _local(recorded)
        if place is None or place.parent.name != ARTIFACTS or place.parents[1] == new:
            continue
        move = _Move(experiment, recorded, place, place.parents[1], new)
        # artifacts that are in a folder without this database were put there on purpose
        if not (move.artifacts_are_here or (move.old / database.name).exists()):
            continue
        if place.name == quote(name, safe=""):
            ours.append(move)
        elif place.name == str(
            experiment
        ):  # MLflow's own experiment is at the place where its first process worked
            numbered.append(move)
    olds = {move.old for move in ours}
    return ours + [move for move in numbered if move.old in olds]


def _local(recorded: str | None) -> Path | None:
    """The folder that a place is, if it is one of this machine."""
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
    # the bases of adapters are tags of groundup's own: paths in the project
    prefixes = [(table, column, move.recorded, move.corrected) for table, column in PLACES]
    prefixes.append(("model_version_tags", "value", str(move.old), str(move.new)))
    for table, column, old, new in prefixes:
        only = " AND key = 'base.folder'" if column == "value" else ""
        store.execute(
            f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?{only}",
            (new, len(old) + 1, len(old) + 1, f"{old}/"),
        )


def _correct_model_files(move: _Move) -> None:
    """The description of a model repeats its place and, of adapters, that of their base."""
    for file in (move.new / ARTIFACTS / move.place.name).glob("models/*/artifacts/MLmodel"):
        described = yaml.safe_load(file.read_text(encoding="utf-8"))
        corrected = _replaced(described, move)
        if corrected != described:
            write_text(file, yaml.safe_dump(corrected, allow_unicode=True, default_flow_style=False))


def _replaced(value: Any, move: _Move) -> Any:
    """`value` with the move made in every text of it."""
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
    """Correct the store that MLFLOW_TRACKING_URI names; for commands of MLflow, which read it as it is."""
    database = database_of(os.environ.get("MLFLOW_TRACKING_URI", ""))
    if database is None:
        return
    try:
        follow(database)
    except BadInput as error:
        sys.exit(f"error: {error}")
