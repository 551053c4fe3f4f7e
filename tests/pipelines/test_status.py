"""`make status` on the toy project, with DVC itself, while a stage runs and before."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from pipelines.status import status
from tests.pipelines import toy


def test_status_before_and_during_a_run(tmp_path: Path) -> None:
    project = toy.make(tmp_path / "project")
    text, code = status(project, ["dvc.yaml"])
    assert code == 0 and "left:" in text and "changed deps" in text
    command = [sys.executable, "-m", "dvc", "repro"]
    environment = toy.environment() | {"TOY_SLOW": "left"}
    with subprocess.Popen(
        command, cwd=project, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as run:
        try:
            assert run.stdout is not None
            assert any(line.startswith("process") for line in run.stdout)  # of the stage
            text, code = status(project, ["dvc.yaml"])
        finally:
            os.killpg(run.pid, signal.SIGKILL)
    expected = (
        r"a run is at work here: stage left, process \d+, for \d+ min\nWhat has changed .* has ended\.\n"
    )
    assert code == 0 and re.fullmatch(expected, text), text
