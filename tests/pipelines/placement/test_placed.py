"""A stage in a real work pool: it runs in the worker's folder, and everything else looks as if it had run here."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists
from prefect.settings import PREFECT_API_URL
from prefect.workers.process import ProcessWorker

from pipelines import flow, stage_tasks
from tests.pipelines import toy
from tests.pipelines.placement.project import make

POOL = "somewhere"

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    folder = make(tmp_path, POOL, with_code=True)
    for name, value in toy.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", request.node.nodeid)
    monkeypatch.chdir(folder)
    template = ProcessWorker.get_default_base_job_template()
    with get_client(sync_client=True) as client, suppress(ObjectAlreadyExists):
        client.create_work_pool(WorkPoolCreate(name=POOL, type="process", base_job_template=template))
    return folder


@contextmanager
def worker(folder: Path, **variables: str) -> Iterator[psutil.Process]:
    """Run a worker of the pool in a new folder, with its own home."""
    folder.mkdir()
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL]
    own = {"HOME": str(folder), "TMPDIR": str(folder), "PREFECT_API_URL": str(PREFECT_API_URL.value())}
    given = toy.environment() | own | {"PREFECT_WORKER_QUERY_SECONDS": "1"} | variables
    del given["PYTHONPATH"]
    given.pop("MLFLOW_TRACKING_URI", None)
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=given, stdout=log, stderr=log, start_new_session=True
        )
    started = psutil.Process(process.pid)
    try:
        yield started
    finally:
        tree = [started, *started.children(recursive=True)]
        for one in tree:
            one.kill()
        psutil.wait_procs(tree)
        process.wait()


def test_a_placed_stage_runs_elsewhere_and_is_done_here(
    project: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with worker(tmp_path / "worker"):
        state = flow.make_flow("main")(return_state=True)
    assert state.is_completed() and state.message == "4 completed", (
        state.message,
        (tmp_path / "worker/log").read_text()[-3000:],
    )
    assert (project / "attempts").read_text().split() == ["fetch", "right", "join"]  # `left` ran elsewhere
    assert (project / "left.txt").read_text() == (project / "fetched.txt").read_text()
    assert "Running stage 'left'" in caplog.text  # the worker's log
    done = toy.run(project, sys.executable, "-m", "dvc", "repro")
    assert "Data and pipelines are up to date" in done.stdout
    # without results here, they are taken from the remote, and no worker is needed
    (project / "left.txt").unlink()
    toy.run(project, "rm", "-rf", ".dvc/cache", "dvc.lock")
    again = flow.make_flow("main")(stages=["left"], return_state=True)
    assert again.is_completed(), again.message
    assert (project / "attempts").read_text().split() == ["fetch", "right", "join", "fetch"]


def test_a_failure_on_the_worker_is_said_here(project: Path, tmp_path: Path) -> None:
    with worker(tmp_path / "worker", TOY_FAIL="left"):
        state = flow.make_flow("main")(stages=["left"], return_state=True)
    assert state.is_failed() and state.message == "stage left failed: as told"


def test_cancelling_here_ends_the_stage_there(project: Path, tmp_path: Path) -> None:
    with worker(tmp_path / "worker", TOY_SLOW="left") as process:
        running = threading.Thread(
            target=lambda: flow.make_flow("main")(stages=["left"], timeout_hours=None, return_state=True)
        )
        running.start()

        def stages() -> list[psutil.Process]:
            found = []
            for one in process.children(recursive=True):
                with suppress(psutil.NoSuchProcess):  # it ends while this looks
                    if "work.py fetched.txt left.txt" in " ".join(one.cmdline()):
                        found.append(one)
            return found

        while not stages():
            assert running.is_alive()
            running.join(0.1)
        [*there] = stages()
        stage_tasks.ending.set()
        running.join(60)
        psutil.wait_procs(there, timeout=60)
        assert not running.is_alive() and not [one for one in there if one.is_running()]
    assert not (project / "left.txt").exists()
