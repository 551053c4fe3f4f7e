"""The printed address is that of the list of trainings."""

import subprocess
import sys
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
