"""The main pipeline from end to end, on a small part of the real data, with the real DVC, MLflow and Prefect.

A clone of the repository's last commit runs the tiny profile through the Prefect flow; the tests then check the state
of DVC and MLflow, change one value, restore a second clone from a remote, and feed invalid data to the check.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clone import NOTHING_TO_DO, Clone, ran, recorded

pytestmark = pytest.mark.slow


@pytest.fixture
def restored(clone: Clone) -> Iterator[Clone]:
    """The clone, restored after the test that changes it."""
    yield clone
    clone.restore()


def test_every_output_exists_and_a_second_run_has_nothing_to_do(clone: Clone) -> None:
    clone.assert_outputs_are_those_of()
    assert NOTHING_TO_DO in clone.run("dvc", "repro").stdout
    assert clone.run("git", "status", "--porcelain").stdout == ""


def test_metric_files_have_the_headline_metrics(clone: Clone) -> None:
    metrics = {
        file.stem: json.loads(file.read_text()) for file in (clone.path / "reports/metrics").glob("*.json")
    }
    assert {"pretrain", "spam", "instructions", "validation", "contamination"} <= set(metrics)
    assert 0 < metrics["pretrain"]["val"]["bpb"] < 8  # 8 bits per byte: no compression
    for score in ("accuracy", "f1", "mcc"):
        figure = metrics["spam"]["test"][score]
        assert figure["low"] <= figure["mean"] <= figure["high"]
    assert 0 <= metrics["instructions"]["unseen_instances"]["exact_match"]["mean"] <= 1


def test_mlflow_has_one_parent_and_a_finished_child_for_each_stage(clone: Clone) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(clone.tracking_uri)
    runs = recorded(client)
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert [run.info.status for run in parents] == ["FINISHED"]
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parents[0].info.run_id]
    assert sorted(run.data.tags["stage"] for run in children) == sorted(clone.stages())
    assert {run.info.status for run in children} == {"FINISHED"}
    [pretrain] = [run for run in children if run.data.tags["stage"] == "pretrain"]
    assert len(client.get_metric_history(pretrain.info.run_id, "train/loss")) > 1


@pytest.mark.parametrize(
    ("model", "made_by", "other"),
    [
        ("groundup-spam", "finetune_spam", "finetune_instructions"),
        ("groundup-chat", "finetune_instructions", "finetune_spam"),
    ],
)
def test_a_champion_is_traced_to_its_raw_data(clone: Clone, model: str, made_by: str, other: str) -> None:
    command = (sys.executable, "-m", "groundup.cli.main", "trace", model, "--json")
    facts = json.loads(clone.run(*command).stdout)
    assert facts["stage"] == made_by
    assert {step["stage"] for step in facts["steps"]} == set(clone.stages()) - {
        other,
        "report",
        "evaluate_language",
    }
    for step in facts["steps"]:
        assert step["run"]["status"] == "FINISHED" and step["run"]["environment"]["packages"]["dvc"]
        assert all(item["hash"] for item in (*step["data"], *step["code"], *step["outs"]))
    for datasets in facts["raw"].values():
        assert all(one["licence"] and one["location"] and len(one["sha256"]) == 64 for one in datasets)
    weights = clone.path / "data/models" / made_by.removeprefix("finetune_")
    assert facts["weights"]["bytes"] == (weights / "model.safetensors").stat().st_size


def test_a_champion_is_made_again_from_scratch_byte_by_byte(clone: Clone) -> None:
    command = ("reproduce", "groundup-spam", "--from-scratch")
    done = clone.run(sys.executable, "-m", "groundup.cli.main", *command)
    assert "\nidentical: the weights of groundup-spam version 1" in done.stdout
    assert "inputs: command, values, code and data are those of the run" in done.stdout
    assert clone.run("git", "status", "--porcelain").stdout == ""


def test_a_changed_finetuning_value_reruns_that_stage_evaluate_and_report_and_metrics_diff_shows_it(
    restored: Clone,
) -> None:
    restored.change({"finetune_spam.class_weights": "balanced"})
    assert ran(restored.run("dvc", "repro").stdout) == ["finetune_spam", "evaluate", "report"]
    changes = json.loads(restored.run("dvc", "metrics", "diff", "--json").stdout)
    assert list(changes) == ["reports/headline.json"]


def test_a_remote_restores_another_clone_without_training(restored: Clone, tmp_path: Path) -> None:
    remote = tmp_path / "remote"
    restored.run("dvc", "remote", "add", "--local", "--default", "here", str(remote))
    try:
        restored.run("dvc", "push", "dvc.yaml")
    finally:
        restored.run("dvc", "remote", "remove", "--local", "here")
    second = Clone(tmp_path / "second", tmp_path / "prefect")
    subprocess.run(["git", "clone", "--quiet", str(restored.path), str(second.path)], check=True)
    second.run("dvc", "remote", "add", "--local", "--default", "here", str(remote))
    second.run("dvc", "pull", "dvc.yaml")
    output = second.run("dvc", "repro").stdout
    assert ran(output) == []
    assert NOTHING_TO_DO in output


def test_a_failing_expectation_stops_the_pipeline(restored: Clone) -> None:
    """The data is changed after its checksum was verified, between download and validate."""
    from mlflow import MlflowClient

    raw = restored.path / "data/raw/spam.jsonl"
    rows = raw.read_text(encoding="utf-8").splitlines(keepends=True)
    rows[7] = json.dumps({"id": "spoilt", "label": "maybe", "text": "neither nor"}) + "\n"
    raw.unlink()  # it may be a link to DVC's cache
    raw.write_text("".join(rows), encoding="utf-8")
    restored.run("dvc", "commit", "--force", "download@spam")
    before = shutil.copy(restored.path / "dvc.lock", restored.path.parent / "dvc.lock")

    done = restored.run("dvc", "repro", check=False)

    assert done.returncode != 0
    assert ran(done.stdout) == ["validate"]
    assert "maybe" in done.stdout + done.stderr, "the offending row is shown"
    command = "python -m groundup.reports.validation reports/validation/raw.json"
    assert command in done.stdout + done.stderr, "how to draw the page of them"
    restored.run(*command.split())
    assert "neither nor" in (restored.path / "reports/validation/raw.html").read_text(encoding="utf-8")
    assert Path(before).read_text() == (restored.path / "dvc.lock").read_text(), (
        "nothing was recorded as done"
    )
    newest = next(
        run for run in recorded(MlflowClient(restored.tracking_uri)) if run.data.tags.get("kind") == "stage"
    )
    assert (newest.data.tags["stage"], newest.info.status) == ("validate", "FAILED")


def test_a_changed_caption_reruns_only_report(restored: Clone) -> None:
    template = restored.path / "src/groundup/reports/templates/report.html.j2"
    said = template.read_text(encoding="utf-8")
    template.write_text(said.replace("results of this run", "results of the run"), encoding="utf-8")
    assert ran(restored.run("dvc", "repro").stdout) == ["report"]
