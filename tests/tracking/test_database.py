"""The rows written directly equal those that MLflow's client writes; light stages do not import MLflow."""

import math
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import groundup
from groundup.tracking import connect, stage_run
from groundup.tracking.database import SCHEMA, DatabaseRecorder, experiment_of
from groundup.tracking.recorder import Metric, Recorder, input_of
from groundup.tracking.store import Connection

TABLES = ("runs", "tags", "params", "metrics", "latest_metrics", "datasets", "inputs", "input_tags")


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Connection:
    """A database with one experiment, as the second stage finds it."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    return connect(tmp_path)


def record(recorder: Recorder, folder: Path) -> str:
    """Record something of every kind, twice where that is allowed."""
    rows = folder / "rows.jsonl"
    rows.write_text(
        '{"id": 1, "share": 0.5, "text": "é", "turns": ["a"]}\n{"id": 2, "share": 1, "text": null}\n'
    )
    (folder / "plots").mkdir(exist_ok=True)
    (folder / "plots/curve.csv").write_text("step,loss\n")
    parent = recorder.create("main", {"kind": "pipeline"})
    run_id = recorder.create(
        "work",
        {
            "kind": "stage",
            "mlflow.user": "me",
            "host": "box",
            "process": "box-1-2.0",
            "mlflow.parentRunId": parent,
        },
    )
    recorder.params(run_id, {"a.b": "1", "c": ""})
    recorder.params(run_id, {"a.b": "1", "d": "2"})
    values = [
        (1.0, 5, 2),
        (3.0, 5, 1),
        (2.0, 5, 2),
        (2.0, 5, 2),
        (math.nan, 7, 0),
        (math.inf, 8, 1),
        (-math.inf, 9, 3),
    ]
    recorder.metrics(run_id, [Metric("val/loss", *one) for one in values])
    recorder.metrics(
        run_id, [Metric("val/loss", 2.0, 5, 2), Metric("rows", 7.0, 5, 0), Metric("nan", math.nan, 5, 0)]
    )
    recorder.tag(run_id, "colour", "blue")
    recorder.tag(run_id, "colour", "red")
    recorder.tag(run_id, "mlflow.note.content", "two\nlines, ö")
    for context in ("training", "again"):
        recorder.input(run_id, input_of(rows, "rows", "rows.jsonl", context))
    recorder.artifact(run_id, folder / "plots", "plots")
    recorder.artifact(run_id, rows, None)
    recorder.text(run_id, "hallo ö\n", "samples/one.txt")
    recorder.end(run_id, "FINISHED", 1234)
    recorder.end(parent, "FAILED")
    recorder.reopen(parent)
    return run_id


def rows_of(database: Path, run_id: str) -> dict[str, list[Any]]:
    """All rows of a database without ids and times, and the artifacts of a run."""
    found: dict[str, list[Any]] = {}
    with closing(sqlite3.connect(database)) as opened:
        opened.row_factory = sqlite3.Row
        names = dict(opened.execute("SELECT run_uuid, name FROM runs").fetchall())
        for table in TABLES:
            rows = [dict(row) for row in opened.execute(f"SELECT * FROM {table}")]
            for row in rows:
                row |= {key: names.get(value, value) for key, value in row.items() if value in names}
                for column in ("start_time", "artifact_uri", "dataset_uuid", "input_uuid", "source_id"):
                    row.pop(column, None)
                if table == "runs" and row["end_time"] != 1234:
                    row["end_time"] = row["end_time"] is not None
            found[table] = sorted(rows, key=str)
        [[place]] = opened.execute("SELECT artifact_uri FROM runs WHERE run_uuid = ?", [run_id])
    folder = Path(place.removeprefix("file://"))
    assert folder.parent.name == run_id
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    found["artifacts"] = [(file.relative_to(folder).as_posix(), file.read_bytes()) for file in files]
    return found


def test_it_writes_the_rows_that_mlflow_writes(
    store: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oracle is MLflow's client in another database; if MLflow's schema changes, this test fails."""
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{other / 'mlflow.db'}")
    theirs = connect(other)
    direct = store.recorder
    assert isinstance(direct, DatabaseRecorder)
    ours = rows_of(tmp_path / "mlflow.db", record(direct, tmp_path))
    expected = rows_of(other / "mlflow.db", record(Recorder(theirs), tmp_path))
    assert ours == expected
    assert all(expected.values())


def test_it_reads_what_mlflow_reads(store: Connection, tmp_path: Path) -> None:
    direct, through = store.recorder, Recorder(store)
    first = record(direct, tmp_path)
    second = record(direct, tmp_path)
    waiting = direct.create("waits", {"host": "box", "process": "box-3-4.0"})
    store.client.delete_run(direct.create("deleted", {"host": "box", "process": "box-3-4.0"}))
    for recorder in (direct, through):
        assert recorder.find({"kind": "stage", "colour": "red"}, "FINISHED") in (first, second)
        assert recorder.find({"kind": "stage", "colour": "blue"}) is None
        assert recorder.find({"kind": "stage"}, "KILLED") is None
        assert [one.run_id for one in recorder.running("box")] == [waiting]
    assert direct.running("box") == through.running("box")
    assert [one.run_id for one in direct.stages_since(0)] == [first, second]
    assert direct.stages_since(0)[1].start >= direct.run(first).start
    assert (
        direct.stages_since(direct.run(waiting).start + 1)
        == through.stages_since(direct.run(waiting).start + 1)
        == []
    )
    for one in (direct.run(first), through.run(first)):
        assert (one.status, one.end, one.tags["colour"], one.metrics["rows"]) == (
            "FINISHED",
            1234,
            "red",
            7.0,
        )
    assert direct.tags(first) == through.tags(first)
    assert direct.status(first) == through.status(first) == "FINISHED"


def test_what_is_unusual_is_left_to_mlflow(store: Connection, tmp_path: Path) -> None:
    from mlflow.exceptions import MlflowException

    direct = store.recorder
    run_id = record(direct, tmp_path)
    with pytest.raises(MlflowException, match="Changing param values is not allowed"):
        direct.params(run_id, {"a.b": "2"})
    with pytest.raises(MlflowException, match="must not resolve to other names"):
        direct.metrics(run_id, [Metric("../loss", 1.0, 1, 1)])
    with pytest.raises(MlflowException, match="not found"):
        direct.tag("0" * 32, "colour", "blue")
    assert direct.tags(run_id)["colour"] == "red"
    direct.tag(run_id, "mlflow.runName", "renamed")
    assert store.client.get_run(run_id).info.run_name == "renamed"


def test_a_database_with_another_schema_is_left_to_mlflow(store: Connection, tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    assert experiment_of(database, "groundup") is not None
    assert experiment_of(database, "other") is None
    with closing(sqlite3.connect(database)) as opened, opened:
        assert opened.execute("SELECT version_num FROM alembic_version").fetchall() == [(SCHEMA,)]
        opened.execute("UPDATE alembic_version SET version_num = 'future'")
    assert experiment_of(database, "groundup") is None


def test_columns_are_described_as_mlflow_describes_a_frame(tmp_path: Path) -> None:
    import mlflow.data
    import pandas

    rows = [{"id": "a", "n": 1, "share": 0.5, "yes": True}, {"id": "b", "n": 2, "share": 2.0, "yes": False}]
    (tmp_path / "rows.jsonl").write_text("")
    found = input_of(tmp_path / "rows.jsonl", "rows", "rows.jsonl", "test", rows)
    theirs = mlflow.data.from_pandas(pandas.DataFrame(rows), name="rows").to_dict()
    assert (found.schema, found.profile) == (theirs["schema"], theirs["profile"])


LIGHT = """
import sys
from pathlib import Path
from groundup.tracking import stage_run
with stage_run("work", {"a": {"b": 1}}, {"stage_key": "k"}, root=Path()) as run:
    run.log({"rows": 5})
    run.reads(Path("rows.jsonl"), "rows", "training")
    run.artifact(Path("rows.jsonl"))
print(sorted({"mlflow", "pandas", "sqlalchemy", "torch"} & set(sys.modules)))
"""


def test_a_light_stage_does_not_import_mlflow(store: Connection, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"id": 1}\n')
    source = str(Path(groundup.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", LIGHT], cwd=tmp_path, env=os.environ | {"PYTHONPATH": source},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "[]\n"
    [run] = store.client.search_runs([store.experiment_id])
    assert run.info.status == "FINISHED" and run.data.metrics["rows"] == 5


def test_what_cannot_be_recorded_does_not_stop_the_stage(
    store: Connection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with stage_run("work", {}, {}, root=tmp_path) as run:
        run.tag("path", os.fsdecode(b"caf\xe9.txt"))  # not UTF-8
        run.text(os.fsdecode(b"caf\xe9.txt"), "one.txt")
        run.tag("colour", "blue")
        with closing(sqlite3.connect(tmp_path / "mlflow.db")) as opened, opened:
            opened.execute("DELETE FROM experiments")  # as `mlflow gc` does
        run.log_of_seed(1)({"loss": 1.0}, 1)
    assert capsys.readouterr().err.count("warning: MLflow could not record this") == 3
    assert store.recorder.status(run.run_id) == "FINISHED"
    assert store.recorder.tags(run.run_id)["colour"] == "blue"


def test_a_deleted_experiment_gets_no_runs(store: Connection) -> None:
    from mlflow.exceptions import MlflowException

    store.client.delete_experiment(store.experiment_id)
    with pytest.raises(MlflowException, match="must be in the 'active' state"):
        store.recorder.create("work", {})


@pytest.mark.parametrize("folder", ["s3://bucket/runs?version=2", "mlflow-artifacts:/1", "file:///tmp/a b/"])
def test_the_folder_of_artifacts_is_where_mlflow_puts_it(store: Connection, folder: str) -> None:
    made = store.client.create_experiment("elsewhere", folder)
    elsewhere = Connection(store.uri, made, store.root, store.database)
    ours, theirs = (recorder.create("work", {}) for recorder in (elsewhere.recorder, Recorder(elsewhere)))
    found = [store.client.get_run(one).info.artifact_uri.replace(one, "RUN") for one in (ours, theirs)]
    assert found[0] == found[1]
