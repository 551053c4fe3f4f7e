"""A stage runs only if DVC would run it, is retried only if a signal ended it, and leaves no process behind."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from prefect.states import Completed, Crashed, Failed, Pending, State

from groundup.tracking import Terminated
from pipelines import flow, stage_tasks
from tests.pipelines import toy

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    folder = toy.make(tmp_path / "toy")
    for name, value in toy.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", request.node.nodeid)
    monkeypatch.chdir(folder)
    return folder


def test_a_process_is_started_only_for_stages_that_dvc_would_run(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not stage_tasks.is_up_to_date("left", project)  # never ran
    flow.make_flow("main")()
    stages = [step.name for step in flow.plan(project)]
    assert all(stage_tasks.is_up_to_date(stage, project) for stage in stages)
    started: list[list[str]] = []

    class Recording(subprocess.Popen[Any]):
        def __init__(self, command: list[str], **options: Any) -> None:
            started.append(command)
            super().__init__(command, **options)

    with monkeypatch.context() as recorded:
        recorded.setattr(stage_tasks.subprocess, "Popen", Recording)
        assert flow.make_flow("main")(return_state=True).message == "4 cached"
    assert started and not [command for command in started if "repro" in command]

    params = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(params.replace("1.0e-05", "1.0e-04"))
    assert [stage for stage in stages if not stage_tasks.is_up_to_date(stage, project)] == ["left"]
    (project / "params.yaml").write_text(params)
    (project / "folder" / "right.txt").write_text("changed by hand")
    assert {stage for stage in stages if not stage_tasks.is_up_to_date(stage, project)} == {"right", "join"}
    shutil.rmtree(project / "folder")
    assert flow.make_flow("main")(return_state=True).message == "4 cached"  # one of them from the run cache
    assert (project / "folder" / "right.txt").read_text() == '{"score": 0.5}\n'

    (project / "dvc.lock").write_text("")  # in doubt the process runs, and says what is wrong
    assert not stage_tasks.is_up_to_date("left", project)


def test_a_stage_is_checked_after_its_dependencies_ran(project: Path) -> None:
    flow.make_flow("main")()
    (project / "source.txt").write_text('{"score": 0.75}\n')
    assert stage_tasks.is_up_to_date("join", project)  # so far: what it needs has not changed yet
    assert flow.make_flow("main")(return_state=True).message == "4 completed"
    assert (project / "numbers.json").read_text() == '{"score": 0.75}\n'


def test_a_killed_stage_is_retried_and_a_failed_one_is_not(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage_tasks, "KILLED_DELAYS", [0.01, 0.01])
    monkeypatch.setenv("TOY_KILLED", "left")
    monkeypatch.setenv("TOY_FAIL", "right")
    state = flow.make_flow("main", 1)(return_state=True)
    assert state.is_failed() and state.message == "stage right failed: as told"
    assert (project / "attempts").read_text().split() == ["fetch", "left", "left", "right"]


@pytest.mark.parametrize(
    ("code", "by_signal"),
    [(-9, True), (130, True), (137, True), (143, True), (1, False), (126, False), (127, False), (255, False)],
)
def test_exit_codes_of_signals(code: int, by_signal: bool) -> None:
    assert stage_tasks._is_signal(code) == by_signal


def test_a_command_that_does_not_exist_is_no_reason_to_retry(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell reports it with the code 127."""
    monkeypatch.setattr(stage_tasks, "KILLED_DELAYS", [0.01, 0.01])
    text = (project / "dvc.yaml").read_text()
    (project / "dvc.yaml").write_text(
        text.replace("python work.py fetched.txt left", "echo >> tried; no-such")
    )
    state = flow.make_flow("main")(stages=["left"], return_state=True)
    assert state.is_failed() and "a signal ended it" not in (state.message or "")
    assert (project / "tried").read_text() == "\n"


def test_an_error_while_its_output_is_read_ends_a_stage(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the stage would wait for a reader when the pipe is full, and the flow for the stage."""

    def broken(self: Any, line: str) -> bool:
        if line.startswith("process"):
            raise LookupError("a fault")
        return True

    monkeypatch.setattr(stage_tasks.Progress, "belongs_in_log", broken)
    monkeypatch.setenv("TOY_SLOW", "left")
    started = time.monotonic()
    state = flow.make_flow("main")(stages=["left"], return_state=True)
    assert time.monotonic() - started < 100  # the stage sleeps longer
    assert state.is_failed() and (state.message or "").startswith("stage left failed: ")
    assert not stage_tasks._running


NOT_READY: State[None] = Pending(name="NotReady", message="Upstream task run did not complete")


@pytest.mark.parametrize(
    ("states", "said"),
    [
        ({"left": Completed(), "right": Completed(name="Cached")}, []),
        ({"left": Failed(message="stage left failed: as told"), "join": NOT_READY}, ["stage left failed: as told"]),
        ({"left": Crashed(message="cancelled"), "join": NOT_READY}, ["stage left failed: cancelled"]),
        ({"left": Pending()}, ["stage left failed: it ended as Pending"]),
        ({"join": NOT_READY}, ["stage join failed: Upstream task run did not complete"]),
    ],
)  # fmt: skip
def test_whatever_did_not_complete_is_a_failure(states: dict[str, State[None]], said: list[str]) -> None:
    assert stage_tasks.failures(states) == said


def stubborn_group() -> "subprocess.Popen[str]":
    """Start a group of two processes, in which the child would survive the death of its parent."""
    child = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    process = subprocess.Popen(
        [sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None and process.stdout.readline() == "up\n"
    return process


def test_a_closed_terminal_interrupts_a_flow_that_prefect_started() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        with pytest.raises(Terminated), stage_tasks.stages_die_with_us():
            os.kill(os.getpid(), signal.SIGHUP)
            signal.pause()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("impatient", [False, True], ids=["one Ctrl-C", "two"])
def test_stages_die_with_the_flow(impatient: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def again(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(stage_tasks, "GRACE_SECONDS", 60 if impatient else 0.2)
    with stubborn_group() as process:
        stage_tasks._running.add(process)
        try:
            with monkeypatch.context() as interrupted:
                if impatient:
                    interrupted.setattr(time, "sleep", again)
                with pytest.raises(KeyboardInterrupt), stage_tasks.stages_die_with_us():
                    raise KeyboardInterrupt
            assert process.stdout is not None
            assert process.stdout.read() == ""  # the pipe is closed: the stubborn child is gone too
            assert process.wait() in (-signal.SIGTERM, -signal.SIGKILL)
        finally:
            stage_tasks._running.discard(process)
