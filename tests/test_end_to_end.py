"""The whole house once, on a small part of the real data: DVC, MLflow, Prefect and Great Expectations as they are.

A clone of the repository's last commit runs the tiny profile through the Prefect flow; the tests then ask DVC and
MLflow what they know, change one value, restore a second clone from a remote, and feed the gate bad data.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
NOTHING_TO_DO = "Data and pipelines are up to date."


@dataclass(frozen=True)
class Clone:
    """A clone at work: commands run in its folder, with this interpreter's tools first on PATH."""

    path: Path
    home: Path  # Prefect's

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command; a failure that was not asked for shows what the command printed."""
        environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(self.path / "src"),  # not the working tree that the environment was made for
            "MLFLOW_TRACKING_URI": self.tracking_uri,
            "PREFECT_HOME": str(self.home),
            "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "300",
            "GIT_AUTHOR_NAME": "test",
            "GIT_AUTHOR_EMAIL": "test@example.org",
            "GIT_COMMITTER_NAME": "test",
            "GIT_COMMITTER_EMAIL": "test@example.org",
        }
        done = subprocess.run(
            command, cwd=self.path, env=environment, capture_output=True, text=True, check=False
        )
        output = f"{' '.join(command)}: exit {done.returncode}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
        assert not check or done.returncode == 0, output
        return done

    @property
    def tracking_uri(self) -> str:
        """MLflow's database, in the clone."""
        return f"sqlite:///{self.path / 'mlflow.db'}"

    def change(self, values: dict[str, Any]) -> None:
        """Write `section.key` values into params.yaml."""
        file = self.path / "params.yaml"
        params = yaml.safe_load(file.read_text(encoding="utf-8"))
        for key, value in values.items():
            *path, last = key.split(".")
            section = params
            for part in path:
                section = section[part]
            assert last in section, key
            section[last] = value
        file.write_text(yaml.safe_dump(params, sort_keys=False, allow_unicode=True), encoding="utf-8")

    def stages(self) -> list[str]:
        """All stages, `download@spam` and the like one each."""
        lines = self.run("dvc", "stage", "list", "--name-only").stdout.splitlines()
        return [line.strip() for line in lines if line.strip()]

    def restore(self) -> None:
        """Back to the last commit: values, metrics, data and models."""
        self.run("git", "checkout", "--quiet", ".")
        self.run("dvc", "checkout", "--force", "--quiet")


def tiny() -> dict[str, Any]:
    """The `section.key=value` lines of the tiny profile."""
    lines = (ROOT / "pipelines/profiles/tiny.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("#")[0].strip().split("=", 1) for line in lines if line.split("#")[0].strip()]
    return {key: yaml.safe_load(value) for key, value in pairs}


def ran(output: str) -> list[str]:
    """The stages that `dvc repro` executed."""
    return re.findall(r"Running stage '([^']+)'", output)


def recorded(client: Any) -> list[Any]:
    """All runs of an MLflow store, the newest first."""
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return list(client.search_runs(experiments, max_results=1000, order_by=["attributes.start_time DESC"]))


@pytest.fixture(scope="module")
def corpus_is_reachable(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The default corpus comes from the package index, or from a mirror that holds it."""
    mirror = os.environ.get("GROUNDUP_MIRROR", "")
    if mirror and Path(mirror).is_dir() and any("chitchat" in file.name for file in Path(mirror).iterdir()):
        return
    folder = str(tmp_path_factory.mktemp("wheel"))
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        "--retries=1",
    ]
    done = subprocess.run(
        [*command, "-d", folder, "chitchat-dataset==0.9.0"], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("the corpus cannot be fetched: no package index and no GROUNDUP_MIRROR that holds it")


@pytest.fixture(scope="module")
def clone(corpus_is_reachable: None, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone in which the flow has run the tiny profile, committed."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no git repository, so there is nothing to clone")
    folder = tmp_path_factory.mktemp("end-to-end")
    project = Clone(folder / "clone", folder / "prefect")
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(project.path)], check=True)
    project.change(tiny())
    project.run("git", "commit", "--quiet", "--all", "--message", "tiny profile")
    project.run(sys.executable, "-m", "pipelines.flow")
    project.run("git", "add", "--all")
    project.run("git", "commit", "--quiet", "--message", "results of the tiny profile")
    return project


@pytest.fixture
def restored(clone: Clone) -> Iterator[Clone]:
    """The clone for a test that changes it."""
    yield clone
    clone.restore()


def test_every_output_is_there_and_a_second_run_has_nothing_to_do(clone: Clone) -> None:
    lock = yaml.safe_load((clone.path / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    assert set(lock) == set(clone.stages())
    missing = [
        out["path"]
        for entry in lock.values()
        for out in entry["outs"]
        if not (clone.path / out["path"]).exists()
    ]
    assert missing == []
    assert NOTHING_TO_DO in clone.run("dvc", "repro").stdout
    assert clone.run("git", "status", "--porcelain").stdout == ""


def test_metric_files_have_their_headline_figures(clone: Clone) -> None:
    metrics = {
        file.stem: json.loads(file.read_text()) for file in (clone.path / "reports/metrics").glob("*.json")
    }
    assert {"pretrain", "spam", "instructions", "validation", "contamination"} <= set(metrics)
    assert 0 < metrics["pretrain"]["val"]["bpb"] < 8  # 8: a byte costs a byte
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


def test_a_changed_finetuning_value_reruns_that_stage_and_evaluate_and_metrics_diff_shows_it(
    restored: Clone,
) -> None:
    restored.change({"finetune_spam.class_weights": "balanced"})
    assert ran(restored.run("dvc", "repro").stdout) == ["finetune_spam", "evaluate"]
    changes = json.loads(restored.run("dvc", "metrics", "diff", "--json").stdout)
    assert list(changes) == ["reports/metrics/spam.json"]


def test_a_remote_restores_another_clone_without_training(restored: Clone, tmp_path: Path) -> None:
    remote = tmp_path / "remote"
    restored.run("dvc", "remote", "add", "--local", "--default", "here", str(remote))
    try:
        restored.run("dvc", "push")
    finally:
        restored.run("dvc", "remote", "remove", "--local", "here")
    second = Clone(tmp_path / "second", tmp_path / "prefect")
    subprocess.run(["git", "clone", "--quiet", str(restored.path), str(second.path)], check=True)
    second.run("dvc", "remote", "add", "--local", "--default", "here", str(remote))
    second.run("dvc", "pull")
    output = second.run("dvc", "repro").stdout
    assert ran(output) == []
    assert NOTHING_TO_DO in output


def test_a_failing_expectation_stops_the_pipeline(restored: Clone) -> None:
    """The data is spoilt where no checksum guards it any more: between download and validate."""
    from mlflow import MlflowClient

    raw = restored.path / "data/raw/spam.jsonl"
    rows = raw.read_text(encoding="utf-8").splitlines(keepends=True)
    rows[7] = json.dumps({"id": "spoilt", "label": "maybe", "text": "neither nor"}) + "\n"
    raw.unlink()  # it may be a link into DVC's cache
    raw.write_text("".join(rows), encoding="utf-8")
    restored.run("dvc", "commit", "--force", "download@spam")
    before = shutil.copy(restored.path / "dvc.lock", restored.path.parent / "dvc.lock")

    done = restored.run("dvc", "repro", check=False)

    assert done.returncode != 0
    assert ran(done.stdout) == ["validate"]
    assert "maybe" in done.stdout + done.stderr, "the offending row is shown"
    assert Path(before).read_text() == (restored.path / "dvc.lock").read_text(), (
        "nothing was recorded as done"
    )
    newest = next(
        run for run in recorded(MlflowClient(restored.tracking_uri)) if run.data.tags.get("kind") == "stage"
    )
    assert (newest.data.tags["stage"], newest.info.status) == ("validate", "FAILED")
