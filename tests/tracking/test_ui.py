"""The printed address is that of the list of trainings."""

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from groundup.tracking import connect
from groundup.tracking.ui import link


def test_the_address_has_the_experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert link(uri, "groundup", "5000") == "http://127.0.0.1:5000/"  # no run yet
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    experiment = connect(tmp_path).experiment_id
    wanted = f"http://127.0.0.1:5001/#/experiments/{experiment}/runs?workflowType=machine_learning"
    assert link(uri, "groundup", "5001") == wanted
    assert link(uri, "other", "5001") == "http://127.0.0.1:5001/"
    command = [sys.executable, "-m", "groundup.tracking.ui", "5001"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip().endswith(wanted)


def test_a_damaged_store_is_left_to_mlflow(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("no database")
    assert link(f"sqlite:///{tmp_path / 'mlflow.db'}", "groundup", "5000") == "http://127.0.0.1:5000/"


def test_a_server_that_is_down_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT"):
        monkeypatch.setenv(variable, "0")  # so that it is restored
        monkeypatch.delenv(variable)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{free.getsockname()[1]}"
    started = time.monotonic()
    assert link(uri, "groundup", "5000") == "http://127.0.0.1:5000/"
    assert time.monotonic() - started < 30  # MLflow's own settings take minutes
