"""The transfer pipeline from end to end, from a tiny model, after the tiny main pipeline of `test_end_to_end.py`."""

import subprocess

import pytest

from tests.clone import NOTHING_TO_DO, Clone, profile, ran, recorded
from tests.interop.published_models import random_llama, save_published

pytestmark = pytest.mark.slow

DVC_YAML, PARAMS = "pipelines/transfer/dvc.yaml", "pipelines/transfer/params.yaml"


@pytest.fixture(scope="module")
def published(clone: Clone, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A second clone, in which DVC has run the tiny profile from a tiny random Llama; the results are committed."""
    folder = tmp_path_factory.mktemp("published")
    project = Clone(folder / "clone", folder / "prefect")
    subprocess.run(["git", "clone", "--quiet", str(clone.path), str(project.path)], check=True)
    project.run("dvc", "cache", "dir", "--local", str(clone.path / ".dvc/cache"))
    project.run("dvc", "checkout", "--force", "--quiet", "dvc.yaml")
    save_published(folder / "llama", random_llama())
    project.change({**profile("transfer_tiny"), "pretrained": str(folder / "llama")}, PARAMS)
    done = project.run("dvc", "repro", DVC_YAML)
    assert {name.split(":")[0] for name in ran(done.stdout)} == {DVC_YAML}, "the main pipeline was up to date"
    project.commit("results from published weights, tiny")
    return project


def test_every_output_exists_and_a_second_run_has_nothing_to_do(published: Clone) -> None:
    published.assert_outputs_are_those_of(DVC_YAML)
    assert NOTHING_TO_DO in published.run("dvc", "repro", DVC_YAML).stdout
    assert published.run("git", "status", "--porcelain").stdout == ""


def test_mlflow_has_a_finished_run_for_each_stage_and_the_adapters_as_models(published: Clone) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(published.tracking_uri, registry_uri=published.tracking_uri)
    runs = recorded(client)
    parents = {run.info.run_id for run in runs if run.data.tags["kind"] == "pipeline"}
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") in parents]
    assert sorted(run.data.tags["stage"] for run in children) == sorted(published.stages(DVC_YAML))
    assert {run.info.status for run in runs} == {"FINISHED"}
    names = {model.name for model in client.search_registered_models()}
    assert {"groundup-published-chat", "groundup-published-preferred"} <= names


def test_another_preference_does_not_retrain_the_lora_adapters(published: Clone) -> None:
    published.change({"dpo.beta": 0.3}, PARAMS)
    try:
        changed = published.run("dvc", "status", DVC_YAML).stdout
        assert f"{DVC_YAML}:dpo:" in changed and f"{DVC_YAML}:finetune_lora:" not in changed
    finally:
        published.run("git", "checkout", "--quiet", ".")
