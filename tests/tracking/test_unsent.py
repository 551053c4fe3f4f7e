"""A tracking store that is down or hangs: the stage goes on, waits little, and nothing is lost unsaid."""

import math
import socket
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from groundup.tracking import Run, connect, delivery, pipeline_run, stage_run, unsent
from groundup.tracking.database import DatabaseRecorder
from groundup.tracking.store import Connection


@pytest.fixture(autouse=True)
def _no_system_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "3600")


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, tmp_path: Path) -> Connection:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", request.node.nodeid)
    return connect(tmp_path)


@pytest.fixture
def hanging() -> Iterator[str]:
    """The address of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def break_client(patch: pytest.MonkeyPatch) -> None:
    """Let every request that writes to a run fail, as if the server were gone."""

    def gone(*_: object) -> None:
        raise sqlite3.OperationalError("the server went away")

    for name in ("params", "metrics", "end", "tag", "text", "input"):
        patch.setattr(DatabaseRecorder, name, gone)


def history(store: Connection, run_id: str, key: str) -> list[tuple[int, float]]:
    return [(m.step, m.value) for m in store.client.get_metric_history(run_id, key)]


def files(folder: Path) -> list[Path]:
    return sorted((folder / unsent.FOLDER).rglob("*.jsonl"))


def test_metrics_of_an_outage_are_sent_by_the_next_stage(
    store: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pipeline_run("main", {}, root=tmp_path) as parent, monkeypatch.context() as broken:
        with stage_run("work", {}, {}, root=tmp_path, parent_run_id=parent.run_id) as run:
            run.log({"loss": 3.0}, 1)
            run.flush()
            break_client(broken)
            for step in range(2, 2502):
                run.log({"loss": 1 / step, "odd": math.nan}, step)
            run.text("sample", "samples/one.txt")
            run.tag("colour", "blue")
        assert store.client.get_run(run.run_id).info.status == "RUNNING"
        [file] = files(tmp_path)
        assert file.stem == run.run_id
        said = capsys.readouterr().err
        # 5,000, and 4 of what the stage used
        assert f"5004 metrics are kept in {file}, and the next stage sends them" in said
        assert said.splitlines()[-1].endswith("missing: 1 artifacts, 1 tags")

        broken.undo()
        with stage_run("next", {}, {}, root=tmp_path, parent_run_id=parent.run_id):
            pass
    assert files(tmp_path) == []
    found = store.client.get_run(run.run_id)
    assert found.info.status == "FINISHED"
    assert history(store, run.run_id, "loss") == [(1, 3.0), *((step, 1 / step) for step in range(2, 2502))]
    assert len(history(store, run.run_id, "odd")) == 2500
    assert store.client.get_run(parent.run_id).info.status == "FINISHED"


def test_metrics_of_a_short_outage_are_sent_by_the_same_stage(
    store: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "PAUSE_SECONDS", 0.05)
    with stage_run("work", {}, {}, root=tmp_path) as run:
        with monkeypatch.context() as broken:
            break_client(broken)
            run.log({"loss": 1.0}, 1)
            run.flush()
        run.log({"loss": 2.0}, 2)
        time.sleep(0.1)
        run.flush()
        assert history(store, run.run_id, "loss") == [(1, 1.0), (2, 2.0)]
    assert files(tmp_path) == []


def test_a_dead_store_is_asked_once_at_the_end_and_every_loss_is_said(
    store: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    def gone(*_: object) -> None:
        asked.append(time.monotonic())
        raise sqlite3.OperationalError("the server went away")

    with stage_run("work", {}, {}, root=tmp_path) as run:
        for seed in (1, 2, 3):
            run.log_of_seed(seed)({"loss": 1.0}, 1)
        for name in ("metrics", "end", "tag", "create"):
            monkeypatch.setattr(DatabaseRecorder, name, gone)
        run.tag("colour", "blue")
        run.log_of_seed(4)({"loss": 1.0}, 1)
        run.figures(tmp_path / "model.safetensors", {"loss": 1.0})
        assert run.register(tmp_path, "spam", input_example=[], params={}, metrics={}) is None
    assert len(asked) == 2  # by the tag, and once at the end for the run and its child runs
    assert len(files(tmp_path)) == 4
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.endswith("missing: 1 child runs, 1 figures of models, 1 models, 1 tags")


def test_what_is_kept_is_limited_and_the_loss_is_said(
    store: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(delivery, "MAX_UNSENT", 100)
    with monkeypatch.context() as broken:
        break_client(broken)
        with stage_run("work", {}, {}, root=tmp_path) as run:
            run.log({f"m{i}": 1.0 for i in range(130)}, 1)
            run.flush()
    [file] = files(tmp_path)
    assert len(file.read_text().splitlines()) == 101
    # of 130, and 4 of what the stage used
    assert "missing: 34 metrics" in capsys.readouterr().err
    store.client.delete_run(run.run_id)
    store.client.delete_experiment(store.experiment_id)
    store.client.restore_experiment(store.experiment_id)
    connect(tmp_path)
    assert files(tmp_path) == []


def test_a_request_that_is_refused_is_not_an_outage(
    store: Connection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with stage_run("work", {"a": {"b": 1}}, {}, root=tmp_path) as run:
        run.params({"a": {"b": 2}})  # MLflow does not change parameters
        assert run.answers
        run.log({"loss": 1.0}, 1)
    assert "warning: MLflow could not record this" in capsys.readouterr().err
    assert history(store, run.run_id, "loss") == [(1, 1.0)]


def test_a_store_that_never_answers_costs_little_time(
    hanging: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(delivery, "FLUSH_SECONDS", 0.0)
    run = Run(Connection(hanging, "1", tmp_path), "a" * 32, tmp_path)
    started = time.monotonic()
    run.params({"a": {"b": 1}})
    for step in range(200):  # each would try to send
        run.log({"loss": 1.0}, step)
        run.tag("step", step)
    run.text("sample", "samples/one.txt")
    run.finish("FINISHED")
    assert time.monotonic() - started < 10  # two attempts: the first, and one at the end
    [file] = files(tmp_path)
    assert len(file.read_text().splitlines()) == 201
    assert "missing: 1 artifacts, 1 groups of parameters, 200 tags" in capsys.readouterr().err


def test_a_stage_of_a_running_pipeline_goes_on_without_its_store(
    hanging: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from groundup.errors import BadInput

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", hanging)
    with stage_run("work", {}, {}, root=tmp_path, parent_run_id="a" * 32) as run:
        run.log({"loss": 1.0}, 1)
    assert "cannot be used" in (said := capsys.readouterr().err)
    assert said.endswith("the stage goes on, and MLflow records nothing of it\n")
    with pytest.raises(BadInput, match="cannot be used"), stage_run("work", {}, {}, root=tmp_path):
        pass


def test_a_lasting_error_is_told_from_an_outage() -> None:
    from mlflow.exceptions import MlflowException, RestException

    assert unsent.is_lasting(RestException({"error_code": "INVALID_PARAMETER_VALUE", "message": "no"}))
    assert not unsent.is_lasting(RestException({"error_code": "TEMPORARILY_UNAVAILABLE", "message": "later"}))
    assert not unsent.is_lasting(MlflowException("API request failed with timeout"))
    assert not unsent.is_lasting(ConnectionError("refused"))


def test_files_of_another_store_stay(store: Connection, tmp_path: Path) -> None:
    metrics: list[Any] = []
    other = Connection("http://elsewhere", "1", tmp_path)
    file = unsent.keep(other, tmp_path, "b" * 32, metrics, "FINISHED")
    connect(tmp_path)
    assert file.exists()


def test_a_file_that_another_process_sends_first_is_passed_over(
    store: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (unsent.keep(store, tmp_path, name * 32, [], "FINISHED") for name in "ab")

    def end(_: DatabaseRecorder, run_id: str, status: str, end_time: int) -> None:
        assert run_id == first.stem
        first.unlink()
        second.unlink()

    monkeypatch.setattr(DatabaseRecorder, "end", end)
    unsent.send(store, tmp_path)
    assert files(tmp_path) == []
