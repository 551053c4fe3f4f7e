"""A pool that cannot run a stage is one sentence; what a run in a pool ended with becomes the state of the stage."""

from contextlib import suppress
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelled, Completed, Crashed, Failed, State
from prefect.workers.process import ProcessWorker

from groundup import tracking
from groundup.tracking.store import create_run
from pipelines import flow
from pipelines.placement import home
from pipelines.placement.home import LOST
from pipelines.run import PARENT_VARIABLE
from pipelines.stage_tasks import Killed
from tests.pipelines import toy
from tests.pipelines.placement.project import make

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    folder = make(tmp_path, "nowhere")
    for name, value in toy.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", request.node.nodeid)
    monkeypatch.chdir(folder)
    return folder


def test_a_pool_that_cannot_run_the_stage_is_said_in_time(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(home, "WORKERLESS_SECONDS", 1.0)
    monkeypatch.setattr(home, "LOOK_SECONDS", 0.2)
    run = flow.make_flow("main")
    missing = run(stages=["left"], return_state=True)
    assert missing.is_failed() and str(missing.message).startswith(
        "stage left is placed in the work pool nowhere, which the Prefect server does not have; create it "
    )
    with get_client(sync_client=True) as client:
        template = ProcessWorker.get_default_base_job_template()
        with suppress(ObjectAlreadyExists):  # the client may have repeated its request
            client.create_work_pool(
                WorkPoolCreate(name="nowhere", type="process", base_job_template=template)
            )
        idle = run(stages=["left"], return_state=True)
        assert idle.is_failed() and idle.message == (
            "stage left has waited 1 seconds, but the work pool nowhere has no live worker; start one: prefect worker "
            "start --pool nowhere"
        )
        [placed] = [one for one in client.read_flow_runs() if one.work_pool_name == "nowhere"]
        assert placed.state_name == "Cancelled" and placed.parent_task_run_id
    assert not (project / "left.txt").exists()
    (project / "params.yaml").write_text((project / "params.yaml").read_text().replace("nowhere", "null"))
    assert run(stages=["left"], return_state=True).is_completed()  # here


def test_a_temporary_server_has_no_workers() -> None:
    with (
        temporary_settings(restore_defaults={PREFECT_API_URL}),
        pytest.raises(Exception, match="a temporary Prefect server has no workers; start one"),
    ):
        home._check_pool(None, "left", "gpu")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "error", "said"),
    [
        (Completed(), None, ""),
        (Crashed(message="no sign of life"), Killed, r"run r in the work pool gpu ended early \(no sign of life\)"),
        (Failed(name=LOST, message="a signal"), Killed, r"ended early \(a signal\)"),
        (Cancelled(), RuntimeError, "its run r in the work pool gpu was cancelled"),
        (Failed(message="stage left failed: as told"), RuntimeError, "^stage left failed: as told$"),
    ],
)  # fmt: skip
def test_the_end_of_a_run_in_a_pool(
    project: Path, state: State[None], error: type[Exception] | None, said: str
) -> None:
    connection = tracking.connect(project)
    parent = create_run(connection, "pipeline", {"kind": "pipeline"}, None)
    lost = create_run(connection, "left", {"kind": "stage", "stage": "left", "host": "elsewhere"}, parent)
    seed = create_run(
        connection, "left, seed 1", {"kind": "part", "stage": "left", "host": "elsewhere"}, lost
    )
    other = create_run(connection, "right", {"kind": "stage", "stage": "right"}, parent)

    def end() -> None:
        home._raise_unless_completed(state, "left", "r", "gpu", project, {PARENT_VARIABLE: parent})

    if error is None:
        end()
    else:
        with pytest.raises(error, match=said):
            end()
    expected = "KILLED" if error is Killed else "RUNNING"
    status = connection.recorder.status
    assert [status(run) for run in (lost, seed)] == [expected] * 2
    assert [status(run) for run in (parent, other)] == ["RUNNING"] * 2
