"""The flow has the stages and edges of DVC's graph, shows cached stages and failures, and leaves nothing running."""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo
from prefect.client.orchestration import get_client
from typer.testing import CliRunner

from groundup import tracking
from groundup.errors import BadInput
from pipelines import flow, stage_tasks
from pipelines.lineage import recorded_keys, split
from pipelines.params import PIPELINES
from tests.pipelines import toy

STUDY = PIPELINES["study"].dvc_yaml
BIG, SMALL = f"{STUDY}:beyond@big", f"{STUDY}:beyond@small"

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    folder = toy.make(tmp_path / "toy", more={STUDY: toy.STUDY_YAML})
    for name, value in toy.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", request.node.nodeid)
    monkeypatch.chdir(folder)
    return folder


def mlflow_runs(folder: Path) -> dict[str, Any]:
    """Runs of the experiment by name, those of pipelines by pipeline."""
    connection = tracking.connect(folder)
    found = connection.client.search_runs([connection.experiment_id])
    return {run.data.tags.get("pipeline") or run.info.run_name: run for run in found}


def artifact(key: str) -> dict[str, Any]:
    """Return the newest artifact with a key."""
    with get_client(sync_client=True) as client:
        wanted = {"sort": "CREATED_DESC", "artifacts": {"key": {"any_": [key]}}}
        return dict(client.request("POST", "/artifacts/filter", json=wanted).json()[0])


def summary(pipeline: str = "main") -> str:
    return str(artifact(f"{pipeline}-summary")["data"])


def test_plan_is_the_graph_of_dvc(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "added.txt").write_text("data without a command")
    toy.run(project, sys.executable, "-m", "dvc", "add", "-q", "added.txt")
    monkeypatch.chdir(tmp_path)  # the plan does not depend on where one works
    steps = flow.plan(project)
    graph = Repo(str(project)).index.graph
    assert {s.name: set(s.after) for s in steps} == {
        stage.name: {dep.name for dep in graph.successors(stage)}
        for stage in graph
        if stage.cmd and stage.path_in_repo == "dvc.yaml"
    }
    assert {s.name: s.after for s in steps} == {
        "fetch@one": (), "left": ("fetch@one",), "right": ("fetch@one",), "join": ("left", "right")
    }  # fmt: skip
    for place, step in enumerate(steps):
        assert set(step.after) <= {earlier.name for earlier in steps[:place]}
    assert {s.name: (s.retries, s.retry_delay_seconds) for s in steps if s.retries} == {
        "fetch@one": (1, [0.01])
    }


def test_the_plan_of_the_study_includes_its_dependencies_in_the_main_pipeline(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project / "pipelines/study")  # where DVC itself would call its stages by another name
    assert {s.name: s.after for s in flow.plan(project, pipeline="study")} == {
        "fetch@one": (), "left": ("fetch@one",), BIG: ("left",), SMALL: ("left",)
    }  # fmt: skip
    assert {s.name for s in flow.plan(project, ["beyond@big"], "study")} == {"fetch@one", "left", BIG}
    assert len(flow.plan(project, ["beyond"], "study")) == 4
    with pytest.raises(
        BadInput, match=r"pipelines/study/dvc.yaml has no stage left; `dvc stage list pipelines/study/"
    ):
        flow.plan(project, ["left"], "study")


def test_the_plan_of_some_stages_includes_their_dependencies(project: Path) -> None:
    assert {s.name for s in flow.plan(project, ["left"])} == {"fetch@one", "left"}
    assert {s.name for s in flow.plan(project, ["fetch"])} == {"fetch@one"}  # a group by its name
    with pytest.raises(BadInput, match="no stage typo; "):
        flow.plan(project, ["left", "typo"])


def test_unknown_prefect_settings_are_an_error(project: Path) -> None:
    text = (project / "dvc.yaml").read_text()
    (project / "dvc.yaml").write_text(text.replace("retries: 1", "retires: 1"))
    with pytest.raises(
        BadInput, match=r"stage fetch@one of dvc.yaml has the Prefect setting retires; expected retries, "
    ):
        flow.plan(project)


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_plan_of_the_real_project_is_its_dvc_yaml(pipeline: str) -> None:
    command = [sys.executable, "-m", "dvc", "stage", "list", "--name-only", PIPELINES[pipeline].dvc_yaml]
    listed = toy.run(toy.ROOT, *command).stdout.split()
    planned = [step.name for step in flow.plan(toy.ROOT, pipeline=pipeline)]
    own = [name for name in planned if split(name)[0] == PIPELINES[pipeline].dvc_yaml]
    assert sorted(own) == sorted(listed)
    assert (own == planned) == (pipeline == "main")  # the others depend on stages of the main one


def test_run_then_cached(project: Path) -> None:
    state = flow.make_flow("main")(return_state=True)
    assert state.is_completed() and state.message == "4 completed", state
    assert (project / "folder" / "right.txt").read_text() == '{"score": 0.5}\n'
    parent = mlflow_runs(project)["main"]
    assert parent.info.status == "FINISHED"
    assert (project / "left.environment").read_text() == parent.info.run_id  # stages know whose they are
    assert parent.data.metrics == {"score": 0.5}  # the headline figures
    flow_run = parent.data.tags["prefect.flow_run"]
    assert parent.info.run_name == f"{flow_run} ({parent.data.tags['git.revision'][:7]})"
    text = summary()
    assert "| left | Completed |" in text
    assert "score" in text and "numbers.json" in text

    # a run that did the work of `left`, as its stage would have left it
    with tracking.stage_run(
        "left", {}, {"stage_key": recorded_keys(project)["left"]}, root=project
    ) as worker:
        pass
    state = flow.make_flow("main")(return_state=True)
    assert state.is_completed() and state.message == "4 cached"
    assert "| left | Cached | nothing to do |" in summary()
    assert "| 4 stages" in summary() and "saved" in summary()
    runs = mlflow_runs(project)
    markers = {name for name in runs if name.endswith("(cached)")}
    assert markers == {"fetch@one (cached)", "left (cached)", "right (cached)", "join (cached)"}
    assert runs["left (cached)"].data.tags["produced_by"] == worker.run_id


def test_the_study_is_a_flow_with_its_own_parent_run_and_summary(project: Path) -> None:
    shown = CliRunner().invoke(flow.app, ["--pipeline", "study"])
    assert shown.exit_code == 0 and "4 completed" in shown.output
    assert (project / "study/big.json").read_text() == '{"score": 0.5}\n'
    assert not (project / "numbers.json").exists()  # the study does not need it
    runs = mlflow_runs(project)
    assert set(runs) == {"study"}
    assert (project / "left.environment").read_text() == runs["study"].info.run_id
    written = summary("study")
    assert "| beyond@big | Completed |" in written and "| study/big.json | score | 0.5 |" in written

    flow.make_flow("main")()
    assert "| numbers.json | score | 0.5 |" in summary() and "study/big.json" not in summary()
    assert flow.make_flow("study")(return_state=True).message == "4 cached"
    markers = {
        run.data.tags["stage"]: run
        for run in mlflow_runs(project).values()
        if run.data.tags["kind"] == "cached"
    }
    assert markers["beyond@big"].data.tags["stage_key"] == recorded_keys(project)[BIG]


def test_stages_of_the_study_do_not_run_in_parallel() -> None:
    assert flow.make_flow("study").task_runner._max_workers == 1  # type: ignore[attr-defined]


def test_a_failure_names_the_stage_and_stops_its_dependents(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY_FAIL", "left")
    shown = CliRunner().invoke(flow.app, ["--workers", "1"])
    assert shown.exit_code == 1
    assert "error: stage left failed: as told" in shown.output
    assert mlflow_runs(project)["main"].info.status == "FAILED"
    assert "| left | Failed |" in summary() and "| join | NotReady |" in summary()
    assert (project / "folder" / "right.txt").exists()  # did not depend on it
    assert not (project / "numbers.json").exists()


def test_stages_are_retried_as_set_in_dvc_yaml(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_FLAKY", "fetch")
    assert flow.make_flow("main")(stages=["fetch"], return_state=True).is_completed()


def test_a_flow_that_is_over_its_time_stops_its_stages(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY_SLOW", "fetch")
    started = time.monotonic()
    state = flow.make_flow("main")(timeout_hours=15 / 3600, return_state=True)
    assert time.monotonic() - started < 100  # the stage sleeps longer
    assert state.is_failed() and (state.message or "").startswith("stopped after timeout_hours = 0.0041")
    assert not stage_tasks._running
    # its end is not a reason to retry, although a signal ended it and dvc.yaml allows a retry
    assert (project / "attempts").read_text().split() == ["fetch"]
    assert mlflow_runs(project)["main"].info.status == "KILLED"


@pytest.mark.parametrize("hours", [0, -1, float("nan")])
def test_a_time_limit_that_is_none_is_an_error(project: Path, hours: float) -> None:
    state = flow.make_flow("main")(timeout_hours=hours, return_state=True)
    assert state.is_failed() and "expected more than 0, or null for no limit" in (state.message or "")
    assert not (project / "attempts").exists()


def test_a_bar_of_a_stage_is_a_progress_artifact(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_BAR", "left")
    assert flow.make_flow("main")(stages=["left"], return_state=True).is_completed()
    shown = artifact("progress-left")
    assert (shown["type"], shown["data"]) == ("progress", 100.0)
    assert shown["description"].startswith("left: 100%|")


def test_the_flow_run_links_to_its_mlflow_run_and_the_report(project: Path) -> None:
    stages = (project / "dvc.yaml").read_text()
    report = (
        "  report:\n    cmd: python work.py left.txt page.html\n    deps: [left.txt]\n    outs: [page.html]\n"
    )
    (project / "dvc.yaml").write_text(stages + report)
    assert flow.make_flow("main")(return_state=True).is_completed()
    run = mlflow_runs(project)["main"]
    page = f"http://127.0.0.1:5000/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
    assert artifact("main-mlflow")["data"] == f"[Run in MLflow]({page})"
    assert artifact("main-report")["data"] == f"[Report]({page}/artifacts/page.html)"
    kept = tracking.connect(project).client.list_artifacts(run.info.run_id)
    assert [file.path for file in kept] == ["page.html", "spent.md"]


def test_an_error_of_dvc_is_reported_in_one_sentence(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "dvc.yaml").write_text("stages: {left: {cmdd: true}}\n")
    shown = CliRunner().invoke(flow.app)
    assert shown.exit_code == 1 and shown.exception.__class__ is SystemExit
    [line] = [line for line in shown.output.splitlines() if line.startswith("error: ")]
    assert "dvc.yaml' validation failed" in line
    monkeypatch.chdir(project.parent)
    shown = CliRunner().invoke(flow.app)
    assert shown.exit_code == 1 and "error: you are not inside of a DVC repository" in shown.output


def test_unknown_stage_on_the_command_line(project: Path) -> None:
    shown = CliRunner().invoke(flow.app, ["--stage", "typo"])
    assert shown.exit_code == 1
    assert "error: dvc.yaml has no stage typo" in shown.output


@pytest.mark.parametrize("nohup", [False, True])
def test_sigterm_and_a_closed_terminal_interrupt_a_flow_started_by_hand(nohup: bool) -> None:
    numbers = [signal.SIGTERM, signal.SIGHUP]
    before = [signal.getsignal(number) for number in numbers]
    signal.signal(signal.SIGHUP, signal.SIG_IGN if nohup else signal.SIG_DFL)
    try:
        flow.interruptible()
        for number in numbers[: 1 if nohup else 2]:
            with pytest.raises(tracking.Terminated):
                os.kill(os.getpid(), number)
                signal.pause()
        if nohup:
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
