"""A store in PostgreSQL with artifacts in S3: errors in one sentence, and many clients at once."""

import hashlib
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import groundup
from groundup.errors import BadInput
from groundup.tracking import connect, pipeline_run, servers, stage_run
from tests import stores

SOURCE = str(Path(groundup.__file__).parents[1])
NEEDED = pytest.mark.skipif(stores.binaries() is None, reason="PostgreSQL is not installed")


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    with stores.s3() as variables:
        yield variables


@pytest.fixture
def bucket(s3: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the address of an empty bucket that this process may use."""
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    return f"s3://{stores.BUCKET}"


def refused(tmp_path: Path, uri: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the sentence with which a pipeline does not begin."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(BadInput) as error, pipeline_run("main", {}, root=tmp_path):
        pass
    assert "\n" not in str(error.value) and "hunter2" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("postgresql+psycopg://anna:hunter2@127.0.0.1:{}/mlflow", r"Connection refused\); start that server"),
        (
            "postgresql://anna:hunter2@127.0.0.1:{}/mlflow",
            r"psycopg2.*'groundup\[team\]' and write postgresql\+ps",
        ),
        (
            "postgresql+psycopg://anna:hunter2@127.0.0.1:{}x/mlflow",
            "invalid literal.*expected an address such as",
        ),
        ("postgresql+psycopg://anna:hunter2@", "expected an address such as|cannot be used"),
    ],
)
def test_what_is_wrong_with_the_address_of_a_database_is_one_sentence(
    tmp_path: Path, uri: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = refused(tmp_path, uri.format(stores.free_port()), monkeypatch)
    assert re.search(said, message), message
    assert "anna:***@" in message


def test_a_missing_driver_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    message = refused(tmp_path, "postgresql+psycopg://anna:hunter2@127.0.0.1:1/mlflow", monkeypatch)
    assert "psycopg" in message and "pip install 'groundup[team]'" in message


def test_limits_on_waiting_are_added_to_an_address_unless_it_has_its_own() -> None:
    assert servers.patient("sqlite:////a/mlflow.db") == "sqlite:////a/mlflow.db"
    assert servers.patient("http://mlflow:5000") == "http://mlflow:5000"
    waits = servers.patient("postgresql+psycopg://h/x?keepalives_idle=9&sslmode=require")
    assert waits.count("keepalives_idle") == 1 and "&tcp_user_timeout=30000" in waits
    assert servers.patient(waits) == waits
    assert servers.shown(waits) == "postgresql+psycopg://h/x"


def test_a_database_needs_a_place_for_artifacts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(servers.ROOT_VARIABLE, raising=False)
    with pytest.raises(BadInput, match=r"MLFLOW_DEFAULT_ARTIFACT_ROOT is ''.* such as s3://bucket/mlflow"):
        servers.artifacts("postgresql://h/x", "groundup")
    here = tmp_path.as_uri()
    servers.check_place(here, "postgresql://h/x")
    with pytest.raises(BadInput, match="which this machine does not have"):
        servers.check_place(f"{here}/of-another-clone/mlruns/1", "postgresql://h/x")
    monkeypatch.setenv(servers.ROOT_VARIABLE, "s3://team/mlflow/")
    assert servers.artifacts("postgresql://h/x", "our runs") == "s3://team/mlflow/our%20runs"
    servers.check_place("s3://team/mlflow", "postgresql://h/x")


def elsewhere(name: str, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make an experiment with its artifacts in an object store the current one."""
    connect(Path.cwd()).client.create_experiment(name, place)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", name)


def test_artifacts_in_a_bucket_come_back(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere("bucket", f"{bucket}/mlflow/x", monkeypatch)
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "curve.csv").write_bytes(b"step,loss\n1,\xff")
    with (
        pipeline_run("main", {}, root=tmp_path) as parent,
        stage_run("work", {}, {}, root=tmp_path, parent_run_id=parent.run_id) as run,
    ):
        run.artifact(tmp_path / "plots")
        run.text("sample", "samples/one.txt")
    assert run.connection is not None
    local = Path(run.connection.client.download_artifacts(run.run_id, "", str(tmp_path)))
    assert (local / "plots/curve.csv").read_bytes() == b"step,loss\n1,\xff"
    assert (local / "samples/one.txt").read_text() == "sample"


def test_a_missing_bucket_stops_the_pipeline_before_it_works(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere("no bucket", f"{bucket}-of-nobody/mlflow", monkeypatch)
    message = refused(tmp_path, os.environ["MLFLOW_TRACKING_URI"], monkeypatch)
    assert "bucket does not exist); create the bucket" in message
    connection = connect(tmp_path)
    [left] = connection.client.search_runs([connection.experiment_id])
    assert left.info.status == "FAILED"


def test_s3_that_does_not_answer_is_a_warning_in_a_stage_and_an_error_before_a_pipeline(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere("silent", f"{bucket}/silent", monkeypatch)
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", f"http://127.0.0.1:{stores.free_port()}")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    message = refused(tmp_path, os.environ["MLFLOW_TRACKING_URI"], monkeypatch)
    assert "start the S3 server, or correct MLFLOW_S3_ENDPOINT_URL" in message
    with stage_run("work", {}, {}, root=tmp_path) as run:
        run.text("sample", "samples/one.txt")
    assert "missing: " in (shown := capsys.readouterr().err) or "could not record" in shown
    assert run.connection is not None and run.connection.recorder.status(run.run_id) == "FINISHED"


# one clone: pipelines with three stages, which log and read back
CLONE = """
import hashlib, json, os, sys
from pathlib import Path
from groundup.tracking import pipeline_run, stage_run

clone, pipelines = sys.argv[1], int(sys.argv[2])
made = []
for number in range(pipelines):
    with pipeline_run("main", {"clone": clone}, root=Path()) as parent:
        for stage in ("tokenize", "pretrain", "evaluate"):
            tags = {"stage_key": f"{clone}-{number}-{stage}"}
            with stage_run(stage, {"seed": {"n": number}}, tags, root=Path(), parent_run_id=parent.run_id) as run:
                run.log({"loss": 1.0}, 0)
                for step in range(1, 1500):
                    run.log({"loss": 1 / step}, step)
                weights = f"{clone} {number} {stage}".encode() * 5000
                Path("weights").write_bytes(weights)
                run.artifact(Path("weights"))
            made.append([run.run_id, parent.run_id, hashlib.md5(weights).hexdigest()])
print(json.dumps(made))
"""


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    with stores.postgresql("mlflow") as host:
        yield host


@pytest.mark.slow
@NEEDED
@pytest.mark.parametrize(
    ("database", "password", "said"),
    [
        (
            "mlflow",
            "hunter2",
            "password authentication failed.*; correct name and password in MLFLOW_TRACKING_URI",
        ),
        ("other", stores.PASSWORD, 'database "other" does not exist.*; create the database'),
    ],
)
def test_what_postgresql_refuses_is_one_sentence(
    host: str, database: str, password: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = refused(tmp_path, stores.address("psycopg", host, database, password), monkeypatch)
    assert re.search(said, message), message


@pytest.mark.slow
@NEEDED
def test_two_clones_begin_at_once_in_an_empty_database_and_lose_nothing(
    host: str, s3: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    team = s3 | {
        "MLFLOW_TRACKING_URI": stores.address("psycopg", host, "mlflow"),
        servers.ROOT_VARIABLE: f"s3://{stores.BUCKET}/mlflow",
        "PYTHONPATH": SOURCE,
    }
    started = []
    for clone in ("one", "two"):
        (tmp_path / clone).mkdir()
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", CLONE, clone, "10"],
                cwd=tmp_path / clone,
                env=os.environ | team,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    ended = [process.communicate() for process in started]
    assert [process.returncode for process in started] == [0, 0], ended
    assert "warning" not in ended[0][1] + ended[1][1]
    made = [one for printed, _ in ended for one in json.loads(printed)]
    for name, value in team.items():
        monkeypatch.setenv(name, value)
    client = connect(tmp_path).client
    [ours] = [one for one in client.search_experiments() if one.name == "groundup"]
    runs = {run.info.run_id: run for run in client.search_runs([ours.experiment_id], max_results=1000)}
    assert Counter(run.data.tags["kind"] for run in runs.values()) == {"pipeline": 20, "stage": 60}
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    for run_id, parent, md5 in made:
        assert runs[run_id].data.tags["mlflow.parentRunId"] == parent
        assert len(client.get_metric_history(run_id, "loss")) == 1500
        local = Path(client.download_artifacts(run_id, "weights", str(tmp_path)))
        assert hashlib.md5(local.read_bytes()).hexdigest() == md5
    for name in ("one", "two"):  # nothing is left in the clones
        assert [path.name for path in (tmp_path / name).iterdir()] == ["weights"]
