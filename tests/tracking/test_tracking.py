"""The status of a run is that of its stage, and the stages of one pipeline share one parent."""

import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from groundup.tracking import (
    Heading,
    Terminated,
    connect,
    mark_cached,
    pipeline_run,
    processes,
    silent,
    stage_run,
)
from groundup.tracking.database import DatabaseRecorder


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Any:
    """An experiment of its own in the session's database, as an MLflow client that knows it."""
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", request.node.nodeid)
    return connect(Path.cwd())


def runs(store: Any) -> dict[str, Any]:
    """Runs of the experiment by name."""
    return {run.info.run_name: run for run in store.client.search_runs([store.experiment_id])}


def test_what_a_stage_says_arrives(store: Any, tmp_path: Path) -> None:
    (tmp_path / "sms.jsonl").write_text('{"text": "a"}\n{"text": "b"}\n')
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "curve.csv").write_text("step,loss\n")
    (tmp_path / "model.bin").write_bytes(b"hello")

    @dataclass(frozen=True)
    class Section:
        max_steps: int = 3
        optimizer: tuple[str, ...] = ("adamw",)

    with stage_run("work", {"pretrain": Section()}, {"stage_key": "k1"}, root=tmp_path) as run:
        for step in range(2500):
            run.log({"loss": 1 / (step + 1)}, step)
        run.log({"rows": 5})
        run.artifact(tmp_path / "plots")
        run.artifact(tmp_path / "plots" / "curve.csv", "single")
        run.text("sample", "samples/one.txt")
        run.pointer(tmp_path / "model.bin", "checkpoint")
        run.reads(tmp_path / "sms.jsonl", "sms", "training")
        run.tag("colour", "blue")
    found = runs(store)["work"]
    assert found.info.status == "FINISHED"
    assert found.data.params == {"pretrain.max_steps": "3", "pretrain.optimizer": "('adamw',)"}
    assert found.data.tags["stage"] == "work" and found.data.tags["stage_key"] == "k1"
    assert found.data.tags["colour"] == "blue"
    assert "mlflow.parentRunId" not in found.data.tags
    history = store.client.get_metric_history(found.info.run_id, "loss")
    assert [(m.step, m.value) for m in sorted(history, key=lambda m: m.step)] == [
        (step, 1 / (step + 1)) for step in range(2500)
    ]
    listed = {
        file.path
        for folder in ("plots", "single", "samples", "pointers")
        for file in store.client.list_artifacts(found.info.run_id, folder)
    }
    assert listed == {"plots/curve.csv", "single/curve.csv", "samples/one.txt", "pointers/checkpoint.json"}
    [pointer] = [
        store.client.download_artifacts(found.info.run_id, "pointers/checkpoint.json", str(tmp_path))
    ]
    assert '"md5": "5d41402abc4b2a76b9719d911017c592"' in Path(pointer).read_text()  # md5("hello")
    assert '"path": "model.bin"' in Path(pointer).read_text()
    [read] = found.inputs.dataset_inputs
    assert read.dataset.name == "sms" and read.tags[0].value == "training"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ValueError("no"), "FAILED"),
        (KeyboardInterrupt(), "KILLED"),
        (SystemExit(1), "FAILED"),
        (SystemExit(0), "FINISHED"),
    ],
)
def test_status_follows_the_exception(store: Any, tmp_path: Path, error: BaseException, status: str) -> None:
    with pytest.raises(type(error)), stage_run("work", {}, {}, root=tmp_path):
        raise error
    found = runs(store)["work"]
    assert found.info.status == status
    assert found.info.end_time is not None
    assert {f"system/{name}" for name in ("wall_seconds", "cpu_seconds", "peak_memory_megabytes")} <= {
        *found.data.metrics
    }


def test_floating_point_operations_of_all_trainings_of_a_stage_are_added(store: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no"), stage_run("work", {}, {}, root=tmp_path) as run:
        run.log({"loss": 1.0, "flop": 5e14}, 1)
        run.log({"loss": 1.0, "flop": 15e14}, 2)
        for seed in (1, 2):
            run.log_of_seed(seed)({"loss": 1.0, "flop": 15e14}, 1)
        raise ValueError("no")
    found = runs(store)["work"].data.metrics
    assert found["system/flop"] == 5e15
    assert "flop" not in found


def test_sigterm_ends_the_run_as_killed(store: Any, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Terminated), stage_run("work", {}, {}, root=tmp_path):
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()
    assert runs(store)["work"].info.status == "KILLED"
    assert signal.getsignal(signal.SIGTERM) is before


def test_stages_of_one_process_share_a_parent(store: Any, tmp_path: Path) -> None:
    dvc = processes.current()
    for name in ("first", "second"):
        with stage_run(name, {}, {"git.revision": "abc", "stage_key": name}, root=tmp_path, process=dvc):
            assert runs(store)["main"].info.status == "RUNNING"
    found = runs(store)
    assert set(found) == {"main", "first", "second"}
    parent = found["main"]
    assert parent.info.status == "FINISHED"
    assert parent.data.tags["git.revision"] == "abc" and "stage_key" not in parent.data.tags
    assert {found[n].data.tags["mlflow.parentRunId"] for n in ("first", "second")} == {parent.info.run_id}
    assert parent.info.end_time >= found["second"].info.start_time


def test_the_shared_parent_has_the_heading_of_the_first_stage_and_the_headline_figures(
    store: Any, tmp_path: Path
) -> None:
    dvc = processes.current()
    page = tmp_path / "report.html"
    page.write_text("<p>")

    def heading(number: int) -> Heading:
        return Heading(
            f"abc {number}",
            {"changed.seed": "1 -> 2", "mlflow.note.content": "- Revision: abc"},
            {"a": {"b": 1}},
        )

    for number, name in enumerate(("evaluate", "report")):
        with stage_run(name, {}, {}, root=tmp_path, process=dvc, heading=lambda n=number: heading(n)) as run:
            run.headline({"bpb": 1.5, "spam_f1": 0.9 + number / 100})
            run.report(page)
            run.report(page)
    found = runs(store)
    assert set(found) == {"abc 0", "evaluate", "report"}
    parent = found["abc 0"]
    assert parent.data.metrics == {"bpb": 1.5, "spam_f1": 0.91} and parent.data.params == {"a.b": "1"}
    assert parent.data.tags["changed.seed"] == "1 -> 2" and parent.data.tags["pipeline"] == "main"
    link = f"#/experiments/{store.experiment_id}/runs/{run.run_id}/artifacts/report.html"
    assert parent.data.tags["mlflow.note.content"] == f"- Revision: abc\n- Report: [report.html]({link})"
    assert parent.data.tags["mlflow.user"]


def test_each_seed_has_a_child_run_with_metrics_of_the_same_names(store: Any, tmp_path: Path) -> None:
    with stage_run("finetune", {}, {}, root=tmp_path) as run:
        for seed in (1, 2):
            for step in (1, 2):
                run.log_of_seed(seed)({"train/loss": seed / step}, step)
        assert runs(store)["finetune, seed 2"].info.status == "RUNNING"
    found = runs(store)
    assert set(found) == {"finetune", "finetune, seed 1", "finetune, seed 2"}
    for seed in (1, 2):
        child = found[f"finetune, seed {seed}"]
        assert child.info.status == "FINISHED" and child.data.params == {"seed": str(seed)}
        assert child.data.tags["mlflow.parentRunId"] == run.run_id
        curve = store.client.get_metric_history(child.info.run_id, "train/loss")
        assert [(m.step, m.value) for m in curve] == [(1, seed), (2, seed / 2)]
    with pytest.raises(KeyboardInterrupt), stage_run("again", {}, {}, root=tmp_path) as run:
        run.log_of_seed(1)({"train/loss": 1.0}, 1)
        raise KeyboardInterrupt
    assert runs(store)["again, seed 1"].info.status == "KILLED"


def test_a_failed_stage_marks_the_shared_parent_for_good(store: Any, tmp_path: Path) -> None:
    dvc = processes.current()
    with pytest.raises(ValueError, match="no"), stage_run("first", {}, {}, root=tmp_path, process=dvc):
        raise ValueError("no")
    with stage_run("second", {}, {}, root=tmp_path, process=dvc):  # dvc repro --keep-going
        pass
    found = runs(store)
    assert found["second"].info.status == "FINISHED"
    assert found["main"].info.status == "FAILED"


def test_given_parent_is_left_to_its_owner(store: Any, tmp_path: Path) -> None:
    with pipeline_run("main", {}, root=tmp_path) as parent:
        with stage_run(
            "work", {}, {}, root=tmp_path, parent_run_id=parent.run_id, process=processes.current()
        ):
            pass
        assert runs(store)["main"].info.status == "RUNNING"
        assert runs(store)["work"].data.tags["mlflow.parentRunId"] == parent.run_id
    assert runs(store)["main"].info.status == "FINISHED"
    assert len(runs(store)) == 2


def test_runs_of_dead_processes_are_swept_with_their_parents(store: Any, tmp_path: Path) -> None:
    from groundup.tracking.store import create_run

    me = processes.current()
    dead = replace(me, started=me.started - 3600)
    parent = create_run(store, "parent", {}, None, owner=me)
    create_run(store, "dead", {}, parent, owner=dead)
    create_run(store, "alive", {}, None, owner=me)
    create_run(store, "elsewhere", {}, None, owner=replace(dead, host="another-host"))
    store.client.create_run(store.experiment_id, run_name="not ours")
    connect(tmp_path)
    status = {name: run.info.status for name, run in runs(store).items()}
    assert status == {
        "parent": "KILLED", "dead": "KILLED", "alive": "RUNNING", "elsewhere": "RUNNING", "not ours": "RUNNING"
    }  # fmt: skip


def test_a_run_that_ends_while_others_are_swept_is_left_alone(
    store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from groundup.tracking.store import create_run

    parent = create_run(store, "parent", {}, None)
    last = create_run(store, "last", {}, parent)

    def ends_now(process: processes.ProcessId) -> bool:
        store.client.set_terminated(last, "FINISHED")
        store.client.set_terminated(parent, "FINISHED")
        return False

    monkeypatch.setattr(processes.ProcessId, "is_alive", ends_now)
    connect(tmp_path)
    assert {name: run.info.status for name, run in runs(store).items()} == {
        "parent": "FINISHED",
        "last": "FINISHED",
    }


def test_cached_marker_links_the_run_that_did_the_work(store: Any, tmp_path: Path) -> None:
    with stage_run("work", {}, {"stage_key": "k1"}, root=tmp_path) as worker:
        pass
    with pytest.raises(ValueError, match="no"), stage_run("failed", {}, {"stage_key": "k1"}, root=tmp_path):
        raise ValueError("no")
    with pipeline_run("main", {}, root=tmp_path) as parent:
        assert mark_cached(parent, "work", "k1") == worker.run_id
        assert mark_cached(parent, "other", "k2") is None
    marker = runs(store)["work (cached)"]
    assert marker.data.tags["produced_by"] == worker.run_id
    assert marker.data.tags["mlflow.parentRunId"] == parent.run_id
    assert marker.info.status == "FINISHED"


def test_silent_run_takes_everything(tmp_path: Path) -> None:
    run = silent()
    run.params({"a": {"b": 1}})
    run.log({"loss": 1.0}, 1)
    run.text("x", "x.txt")
    run.pointer(tmp_path, "x")
    run.tag("a", "b")
    run.log_of_seed(1)({"loss": 1.0}, 1)
    run.headline({"bpb": 1.0})
    run.flush()
    assert run.register(tmp_path, "x", input_example=[], params={}, metrics={}) is None


def test_a_store_that_fails_midway_costs_a_warning(
    store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise OSError("the server went away\nand more")

    with stage_run("work", {}, {}, root=tmp_path) as run:
        monkeypatch.setattr(DatabaseRecorder, "metrics", broken)
        run.log({"loss": 1.0}, 1)
        run.flush()
        monkeypatch.undo()
    assert capsys.readouterr().err == "warning: MLflow could not record this: the server went away\n"


def test_system_metrics_that_cannot_begin_cost_a_warning(
    store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = threading.Event()

    def gone(_: str) -> None:
        asked.set()
        raise OSError("the store is gone")

    monkeypatch.setattr("groundup.tracking.store._client_of", gone)
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.01")
    with stage_run("work", {}, {}, root=tmp_path):
        assert asked.wait(60)
    assert "warning: MLflow could not record this: the store is gone\n" in capsys.readouterr().err


@pytest.fixture(autouse=True)
def _no_system_metrics(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The sampling thread reads the run in the background; these tests look at statuses only."""
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "3600")
    yield
