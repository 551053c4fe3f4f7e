"""Retraining compares every model with its champion, scores what was promoted, and always writes a summary."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from groundup.datasets.inbox import Outcome
from groundup.tracking import registry
from pipelines import retrain
from pipelines.contests import Contest
from pipelines.flow import alone
from pipelines.inbox import Intake
from pipelines.lineage import recorded_keys
from tests.pipelines import contested, toy
from tests.pipelines.contested import PARAMS, add_version, make_champion

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy project after its first run; tests work on copies."""
    return contested.build(tmp_path_factory.mktemp("retrain"))


@pytest.fixture
def project(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> tuple[Path, Any, Contest]:
    """A toy project that ran once, a tracking store and the only contest, for one model."""
    folder, store, contest = contested.enter(built, tmp_path, monkeypatch, request)
    monkeypatch.setattr(retrain, "load_params", lambda *_: PARAMS)
    monkeypatch.setattr(retrain, "take_in", lambda root: Intake())  # the toy project has no inbox
    monkeypatch.setattr(retrain, "CONTESTS", (contest,))
    return folder, store, contest


@pytest.mark.parametrize(
    ("champion", "candidate", "why"),
    [
        (
            "0.90",
            None,
            "the output of finetune has no registered version.*dvc repro --force --single-item finetune",
        ),
        (
            "old",
            "0.95",
            r"this code cannot test the champion \(a format of long ago\).*groundup promote \S+ 2",
        ),
    ],
)
def test_a_model_that_cannot_be_compared_fails_the_flow_and_the_others_are_compared(
    project: Any, monkeypatch: pytest.MonkeyPatch, champion: str, candidate: str | None, why: str
) -> None:
    folder, store, contest = project
    other, made = replace(contest, model=f"{contest.model}-2"), recorded_keys(folder)["finetune"]
    monkeypatch.setattr(retrain, "CONTESTS", (contest, other))
    make_champion(store, contest.model, add_version(store, folder, contest.model, champion, "earlier"))
    if candidate:
        add_version(store, folder, contest.model, candidate, made)
    add_version(store, folder, other.model, "0.9", made)
    state = retrain.retrain(return_state=True)
    assert state.is_failed() and re.fullmatch(f"{contest.model}: {why}.*", str(state.message))
    assert f"| {contest.model} |  |  | failed: " in summary()
    assert f"| {other.model} | none | 1 | promoted: there is no champion yet" in summary()
    found = registry.champion(store, contest.model)
    assert found is not None and found.version == "1"


def test_two_retrainings_do_not_run_at_once(project: Any) -> None:
    folder, store, contest = project
    add_version(store, folder, contest.model, "0.9", recorded_keys(folder)["finetune"])
    with alone("retrain", folder):
        state = retrain.retrain(return_state=True)
    assert state.is_failed() and "another run of retrain is working in" in str(state.message)
    assert registry.champion(store, contest.model) is None


def summary() -> str:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        wanted = {"sort": "CREATED_DESC", "artifacts": {"key": {"any_": ["retraining-summary"]}}}
        return str(client.request("POST", "/artifacts/filter", json=wanted).json()[0]["data"])


def test_nothing_new_then_new_data(project: Any) -> None:
    folder, store, contest = project
    add_version(store, folder, contest.model, "0.9", recorded_keys(folder)["finetune"])
    state = retrain.retrain(return_state=True)
    assert state.is_completed() and state.message == "1 of 1 models promoted"
    assert "The data has not changed; nothing had to run." in summary()
    assert "promoted: there is no champion yet" in summary()

    (folder / "source.txt").write_text('{"score": 0.7}\n')  # what the download finds from now on
    state = retrain.retrain(return_state=True)
    assert state.is_failed()  # the toy's finetune registers no model
    assert (folder / "model.txt").read_text() == '{"score": 0.7}\n'
    assert "To run: finetune, prepare." in summary() or "To run: prepare." in summary()
    assert "failed: the output of finetune has no registered version" in summary()

    runs = store.client.search_runs([store.experiment_id], "tags.kind = 'pipeline'")
    assert [run.data.tags["pipeline"] for run in runs] == ["retrain", "retrain"]  # one for each retraining
    parent = runs[0].info.run_id
    asked = [(folder / f"{stage}.environment").read_text() for stage in ("download", "finetune")]
    assert asked == [parent, parent]


def test_the_test_set_is_scored_after_a_promotion_only(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, store, contest = project
    make_champion(store, contest.model, add_version(store, folder, contest.model, "0.90", "earlier"))
    run_pipeline, coming = retrain.pipeline, {"0.6": "0.85", "0.7": "0.95"}

    def train(*args: Any, **how: Any) -> list[str]:
        """Register the version that the toy's finetune does not register."""
        lines, made = run_pipeline(*args, **how), recorded_keys(folder)["finetune"]
        if registry.made_by(store, contest.model, made) is None:
            add_version(store, folder, contest.model, coming[data], made)
        return lines

    monkeypatch.setattr(retrain, "pipeline", train)
    for data, scored in (("0.6", "0.5"), ("0.7", "0.7")):
        (folder / "source.txt").write_text(f'{{"score": {data}}}\n')
        assert retrain.retrain(return_state=True).is_completed()
        assert (folder / "model.txt").read_text() == f'{{"score": {data}}}\n'
        assert (folder / "scores.txt").read_text() == f'{{"score": {scored}}}\n'
    assert f"The test set is scored: {contest.model} promoted." in summary()


def test_a_promotion_that_was_not_scored_is_scored_by_the_next_run(project: Any) -> None:
    folder, store, contest = project
    (folder / "source.txt").write_text('{"score": 0.7}\n')
    toy.run(folder, "python", "-m", "dvc", "repro", "-q", "-f", "finetune")
    version = add_version(store, folder, contest.model, "0.9", recorded_keys(folder)["finetune"])
    make_champion(store, contest.model, version)
    assert retrain.unscored(folder) == [contest.model]
    (folder / "source.txt").write_text(
        '{"score": 0.8}\n'
    )  # replaces the promoted model's files, but not before
    retrain.retrain(return_state=True)
    assert (folder / "model.txt").read_text() == '{"score": 0.8}\n'
    assert (folder / "scores.txt").read_text() == '{"score": 0.7}\n'
    assert retrain.unscored(folder) == []


def test_the_first_run_in_a_clone_has_no_files(project: Any) -> None:
    folder, store, contest = project
    version = add_version(store, folder, contest.model, "0.9", recorded_keys(folder)["finetune"])
    make_champion(store, contest.model, version)
    for name in ("raw.txt", "model.txt", "scores.txt", "prepared/gate.jsonl"):
        (folder / name).unlink()
    state = retrain.retrain(return_state=True)
    assert state.is_completed(), state.message
    assert (folder / "model.txt").read_text() == '{"score": 0.5}\n'


def test_refused_labels_end_the_flow_before_anything_is_trained(
    project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, store, contest = project
    make_champion(store, contest.model, add_version(store, folder, contest.model, "0.5", "earlier"))
    add_version(store, folder, contest.model, "0.9", recorded_keys(folder)["finetune"])
    (folder / "source.txt").write_text('{"score": 0.7}\n')
    refused = Outcome("new.csv", "0" * 64, 0, reason="one file is not readable.")
    monkeypatch.setattr(retrain, "take_in", lambda root: Intake((refused,)))
    state = retrain.retrain(return_state=True)
    assert state.is_failed()
    assert (
        "**Failed**: new labels were refused, and nothing was trained: one file is not readable." in summary()
    )
    assert (folder / "model.txt").read_text() == '{"score": 0.5}\n'
    found = registry.champion(store, contest.model)
    assert found is not None and found.version == "1"


def test_failed_download_leaves_the_data_and_a_summary(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _, _ = project
    monkeypatch.setenv("TOY_FAIL", "download")
    shown = CliRunner().invoke(retrain.app, ["run"])
    assert shown.exit_code == 1
    assert "the data could not be refreshed: stage download@toy failed: as told" in shown.output
    assert (folder / "raw.txt").read_text() == '{"score": 0.5}\n'
    assert "**Failed**: the data could not be refreshed" in summary()


def test_failed_pipeline_ends_in_a_summary(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _, _ = project
    (folder / "source.txt").write_text('{"score": 0.7}\n')
    monkeypatch.setenv("TOY_FAIL", "finetune")
    state = retrain.retrain(return_state=True)
    assert state.is_failed()
    assert "**Failed**: the pipeline did not finish: stage finetune failed: as told" in summary()


def test_an_error_of_dvc_or_mlflow_ends_in_a_summary(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.exceptions import MlflowException

    folder, store, _ = project

    def refuses(*_: object) -> None:
        raise MlflowException("the registry is closed\nsecond line")

    with monkeypatch.context() as closed:
        closed.setattr(registry, "champion", refuses)
        shown = CliRunner().invoke(retrain.app, ["run"])
    assert shown.exit_code == 1
    assert f"error: MLflow at {store.uri} cannot be used (the registry is closed); check" in shown.output
    assert "**Failed**: MLflow at" in summary()

    (folder / "dvc.yaml").write_text("stages: {left: {cmdd: true}}\n")
    shown = CliRunner().invoke(retrain.app, ["run"])
    assert shown.exit_code == 1 and "error: './dvc.yaml' validation failed" in shown.output
    assert "**Failed**: './dvc.yaml' validation failed" in summary()
