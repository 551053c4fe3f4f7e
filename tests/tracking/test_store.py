"""Opening the store: created once by many processes, artifacts in its folder, clear errors, cheap to import."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

import groundup
from groundup.errors import BadInput
from groundup.tracking import connect, explained, store
from groundup.tracking.store import _locked

SOURCE = str(Path(groundup.__file__).parents[1])


def test_two_processes_create_the_database_at_once(tmp_path: Path) -> None:
    code = (
        "import gc; from pathlib import Path; from groundup.tracking import connect; "
        "store = connect(Path()); store.client; "
        "print(store.experiment_id, gc.isenabled() and gc.get_freeze_count() > 100_000)"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_TRACKING")}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env=environment | {"PYTHONPATH": SOURCE},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    ended = [process.communicate() for process in started]
    assert [process.returncode for process in started] == [0, 0], ended
    assert ended[0][0] == ended[1][0]  # one experiment, not two
    assert ended[0][0].endswith(" True\n")  # collections leave MLflow out, which saves a third of the time
    assert (tmp_path / "mlflow.db").is_file()


KILLED = """
import os, signal
from pathlib import Path
from groundup.tracking import connect
import sqlalchemy
@sqlalchemy.event.listens_for(sqlalchemy.engine.Engine, "before_cursor_execute")
def kill(connection, cursor, statement, *others):
    if statement.startswith("ALTER TABLE runs ADD COLUMN deleted_time"):
        os.kill(os.getpid(), signal.SIGKILL)
connect(Path())
"""


def test_a_kill_during_creation_of_the_database_blocks_no_other_process(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_TRACKING")}
    environment |= {"PYTHONPATH": SOURCE}
    killed = subprocess.run([sys.executable, "-c", KILLED], cwd=tmp_path, env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "mlflow.db").exists()
    code = "from pathlib import Path; from groundup.tracking import connect; connect(Path())"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "mlflow.db").is_file()


WAITING = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts background jobs with SIGINT ignored
from groundup.tracking.store import _locked
print("waits", flush=True)
with _locked(sys.argv[1]):
    print("has it", flush=True)
"""


def test_ctrl_c_ends_the_wait_for_the_lock(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    command = [sys.executable, "-c", WAITING, uri]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with _locked(uri):
        waiting = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": SOURCE}, **pipes)
        assert waiting.stdout.readline() == "waits\n"
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(0.3)
        waiting.send_signal(signal.SIGINT)
        printed, complaint = waiting.communicate(timeout=120)
    assert printed == "" and complaint.endswith("KeyboardInterrupt\n")
    freed = subprocess.run(command, env=os.environ | {"PYTHONPATH": SOURCE}, **pipes, timeout=120)
    assert freed.stdout == "waits\nhas it\n"


def test_no_place_for_the_lock_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "file"))
    with pytest.raises(BadInput, match=r"cannot be used \(\[Errno.*mlflow.db and mlruns/"):
        connect(tmp_path)


def test_a_lock_that_is_never_released_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "LOCK_SECONDS", 0.1)
    refused = pytest.raises(
        BadInput, match=r"waited 0\.1 s for another process to open the MLflow store sqlite"
    )
    with _locked(os.environ["MLFLOW_TRACKING_URI"]), refused:
        connect(tmp_path)


def test_a_process_that_writes_without_end_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("groundup.tracking.database.BUSY_SECONDS", 0.05)
    uri, connection = os.environ["MLFLOW_TRACKING_URI"], connect(tmp_path)
    with closing(sqlite3.connect(uri.removeprefix("sqlite:///"), isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")  # as a process that was suspended while it wrote
        with pytest.raises(BadInput, match=r"waited 0\.05 s for another process that writes to .*mlflow\.db"):
            connect(tmp_path)
        with (
            pytest.raises(BadInput, match=r"database is locked\); end the process that writes"),
            explained(uri),
        ):
            connection.recorder.tags("a run")


def test_artifacts_are_in_the_folder_of_the_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "place of artifacts")
    monkeypatch.chdir(tmp_path)
    connection = connect(tmp_path)
    database = Path(os.environ["MLFLOW_TRACKING_URI"].removeprefix("sqlite:///"))
    place = connection.client.get_experiment(connection.experiment_id).artifact_location
    assert place == (database.resolve().parent / "mlruns" / "place%20of%20artifacts").as_uri()


def test_unreachable_server_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(
        BadInput, match=rf"MLflow at http://127.0.0.1:{port} cannot be used .*MLFLOW_TRACKING_URI"
    ) as error:
        connect(tmp_path)
    assert "\n" not in str(error.value)


def test_deleted_experiment_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "gone")
    connection = connect(tmp_path)
    connection.client.delete_experiment(connection.experiment_id)
    with pytest.raises(BadInput, match=r"'gone' .* is deleted"):
        connect(tmp_path)


def test_what_mlflow_refuses_is_one_sentence(tmp_path: Path) -> None:
    connection = connect(tmp_path)
    with (
        pytest.raises(BadInput, match=r"cannot be used \(.*nobody.*\); check") as error,
        explained(connection.uri),
    ):
        connection.client.set_registered_model_alias("nobody", "champion", "1")
    assert "\n" not in str(error.value)
    with pytest.raises(ZeroDivisionError), explained(connection.uri):
        raise ZeroDivisionError  # a programmer's error is not changed


def test_importing_tracking_does_not_import_mlflow() -> None:
    code = "import sys, groundup.tracking; print(sorted({'mlflow', 'pandas', 'torch', 'numpy'} & set(sys.modules)))"
    environment = os.environ | {"PYTHONPATH": SOURCE}
    shown = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == "[]"
