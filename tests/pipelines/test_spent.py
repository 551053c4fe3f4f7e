"""The costs of stages that ran and of those that did not, from their runs in MLflow."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from groundup.tracking import connect
from groundup.tracking.recorder import Metric
from pipelines import spent as module
from pipelines.lineage import recorded_keys
from pipelines.spent import Cost, Spent, record, spent

LOCK = """\
schema: '2.0'
stages:
  quick: {cmd: a}
  long: {cmd: b}
  new: {cmd: c}
"""


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Any:
    """A project with three recorded stages, of which `long` ran an hour ago."""
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", request.node.nodeid)
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[core]\nno_scm = true\n")
    (tmp_path / "dvc.lock").write_text(LOCK)
    found = connect(tmp_path)
    finish(found, "long", wall=3700.0, cpu=7000.0, memory=900.0, flop=2e15)
    return found


def finish(store: Any, stage: str, parent: str = "", status: str = "FINISHED", **figures: float) -> None:
    """Record a run of a stage with its key in dvc.lock."""
    names = {"wall": "wall_seconds", "cpu": "cpu_seconds", "memory": "peak_memory_megabytes", "flop": "flop"}
    metrics = {f"system/{names[key]}": value for key, value in figures.items()}
    metrics["system/children_peak_memory_megabytes"] = 50.0
    tags = {
        "kind": "stage",
        "stage": stage,
        "stage_key": recorded_keys(store.root)[stage],
        "mlflow.parentRunId": parent,
    }
    run_id = store.recorder.create(stage, tags)
    store.recorder.metrics(run_id, [Metric(key, value, 1, 0) for key, value in metrics.items()])
    store.recorder.end(run_id, status)


def now(store: Any) -> float:
    """A time after all runs so far, and the start of those to come."""
    marker = store.recorder.create("now", {})
    while (
        store.recorder.run(other := store.recorder.create("later", {})).start
        == store.recorder.run(marker).start
    ):
        pass
    return float(store.recorder.run(other).start) / 1000


def test_stages_that_ran_and_stages_that_were_saved(store: Any, tmp_path: Path) -> None:
    since = now(store)
    finish(store, "quick", "p", wall=2.0, cpu=1.0, memory=30.0)
    finish(store, "quick", "other", wall=4.0, cpu=1.0, memory=80.0)
    found = spent(store, tmp_path, "main", since, parent="p")
    assert found.ran == [
        Cost("quick", "finished", 2.0, 1.0, 50.0, None)
    ]  # the larger peak is that of a child
    assert found.saved == [
        Cost("long", "saved", 3700.0, 7000.0, 900.0, 2e15),
        Cost("new", "saved", None, None, None, None),  # no run of this database made it
    ]
    assert len(spent(store, tmp_path, "main", since).ran) == 2
    assert spent(store, tmp_path, "main", since, parent="p", skipped=[]).saved == []
    assert found.metrics() == {
        "system/wall_seconds": 2.0,
        "system/cpu_seconds": 1.0,
        "system/peak_memory_megabytes": 50.0,
        "saved/wall_seconds": 3700.0,
        "saved/cpu_seconds": 7000.0,
        "saved/flop": 2e15,
    }


def test_the_table() -> None:
    ran = [Cost("a", "finished", 2.04, 1.0, 30.0, None), Cost("b", "failed", 99.98, 181.0, 1234.0, 3e15)]
    saved = [Cost("c", "saved", 7260.0, None, None, None)]
    assert Spent(ran, saved).table() == (
        "| stage    |          |       wall |        CPU | peak memory |  FLOP |\n"
        "| -------- | -------- | ---------: | ---------: | ----------: | ----: |\n"
        "| a        | finished |      2.0 s |      1.0 s |       30 MB |       |\n"
        "| b        | failed   |    100.0 s | 3 min 01 s |    1,234 MB | 3e+15 |\n"
        "| c        | saved    | 2 h 01 min |            |             |       |\n"
        "| 2 stages | spent    | 1 min 42 s | 3 min 02 s |    1,234 MB | 3e+15 |\n"
        "| 1 stage  | saved    | 2 h 01 min |            |             |       |"
    )


def test_the_command_logs_in_the_run_of_the_pipeline(store: Any) -> None:
    app = module.typer.Typer()
    app.command()(module.main)
    since = now(store)
    shown = CliRunner().invoke(app, ["main", "--since", str(since)])
    assert shown.exit_code == 0 and "| 3 stages | saved |" in shown.output
    parent = store.recorder.create("abc", {"kind": "pipeline", "pipeline": "main"})
    finish(store, "quick", parent, "FAILED", wall=2.0, cpu=1.0, memory=30.0)
    shown = CliRunner().invoke(app, ["main", "--since", str(since)])
    assert "| quick   | failed |" in shown.output
    assert "saved" not in shown.output  # DVC stopped, so the others may have to run
    assert CliRunner().invoke(app, ["main"]).output == shown.output  # the newest run of the pipeline
    assert store.recorder.run(parent).metrics["system/wall_seconds"] == 2.0
    assert [file.path for file in store.client.list_artifacts(parent)] == ["spent.md"]
    assert CliRunner().invoke(app, ["typo"]).exit_code == 1
    stopped = CliRunner().invoke(app, ["main", "--since", str(now(store)), "--stopped"])
    assert stopped.output == "No stage ran.\n"


def test_a_run_without_a_store_has_no_costs(tmp_path: Path) -> None:
    from groundup.tracking import silent

    assert record(silent(), tmp_path, "main", 0.0, []) == "not recorded"
