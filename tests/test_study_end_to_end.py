"""The study from end to end with its tiny profile, after the tiny main pipeline of `test_end_to_end.py`."""

import subprocess

import pytest

from tests.clone import NOTHING_TO_DO, Clone, profile, ran, recorded

pytestmark = pytest.mark.slow

DVC_YAML, PARAMS = "pipelines/study/dvc.yaml", "pipelines/study/params.yaml"


@pytest.fixture(scope="module")
def study(clone: Clone, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A second clone, in which DVC has run the study's tiny profile and the results are committed."""
    folder = tmp_path_factory.mktemp("study")
    project = Clone(folder / "clone", folder / "prefect")
    subprocess.run(["git", "clone", "--quiet", str(clone.path), str(project.path)], check=True)
    project.run("dvc", "cache", "dir", "--local", str(clone.path / ".dvc/cache"))
    project.run("dvc", "checkout", "--force", "--quiet", "dvc.yaml")
    project.change(profile("study_tiny"), PARAMS)
    fetched = project.run("dvc", "repro", f"{DVC_YAML}:download", check=False)
    if fetched.returncode and "could not be fetched" in fetched.stdout + fetched.stderr:
        pytest.skip(
            "the study's data cannot be fetched: no package index, and no GROUNDUP_MIRROR that has it"
        )
    done = project.run("dvc", "repro", DVC_YAML)
    assert {name.split(":")[0] for name in ran(done.stdout)} == {DVC_YAML}, "the main pipeline was up to date"
    project.commit("results of the study, tiny")
    return project


def test_every_output_exists_and_a_second_run_has_nothing_to_do(study: Clone) -> None:
    study.assert_outputs_are_those_of(DVC_YAML)
    assert NOTHING_TO_DO in study.run("dvc", "repro", DVC_YAML).stdout
    assert study.run("git", "status", "--porcelain").stdout == ""


def test_mlflow_has_a_finished_run_for_each_stage_under_a_parent_of_the_study(study: Clone) -> None:
    from mlflow import MlflowClient

    runs = recorded(MlflowClient(study.tracking_uri))
    parents = {run.info.run_id: run for run in runs if run.data.tags["kind"] == "pipeline"}
    assert {run.data.tags["pipeline"] for run in parents.values()} == {"study"}
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") in parents]
    assert sorted(run.data.tags["stage"] for run in children) == sorted(study.stages(DVC_YAML))
    assert {run.info.status for run in runs} == {"FINISHED"}


def test_a_value_of_the_study_does_not_affect_the_main_pipeline(study: Clone) -> None:
    study.change({"contextual.seed": 2}, PARAMS)
    try:
        assert NOTHING_TO_DO in study.run("dvc", "repro").stdout
        changed = study.run("dvc", "status", DVC_YAML).stdout
        assert f"{DVC_YAML}:contextual:" in changed and f"{DVC_YAML}:transfer:" not in changed
    finally:
        study.run("git", "checkout", "--quiet", ".")
