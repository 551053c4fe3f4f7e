"""The run of a pipeline is named after its experiment, flow run or commit, and says what was changed."""

import subprocess
from pathlib import Path

import pytest

from pipelines.heading import FlowRun, changed_values, heading

PARAMS = "model: {n_layer: 2, preset: modern}\npretrain:\n  seed: 1\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("DVC_EXP_NAME", "DVC_EXP_BASELINE_REV"):
        monkeypatch.delenv(name, raising=False)
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "test")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "test@example.org")
    folder = tmp_path / "project"
    (folder / "pipelines/study").mkdir(parents=True)
    (folder / "params.yaml").write_text(PARAMS)
    (folder / "pipelines/study/params.yaml").write_text("ladder: {steps: 3}\n")
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "Train longer")
    return folder


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_committed_run_is_named_by_its_commit(project: Path) -> None:
    head = git(project, "rev-parse", "HEAD")
    found = heading(project, "main", "dvc repro")
    assert found.name == f"{head[:7]} Train longer"
    assert found.tags["mlflow.source.name"] == "dvc repro" and found.tags["git.revision"] == head
    assert found.tags["mlflow.note.content"].splitlines() == [
        "**Train longer**", "", "- Command: `dvc repro`", f"- Revision: `{head}`"
    ]  # fmt: skip
    assert not [tag for tag in found.tags if tag.startswith("changed.")]
    assert heading(project, "study", "dvc repro").name == f"study: {head[:7]} Train longer"


def test_changed_values_are_named(project: Path) -> None:
    (project / "params.yaml").write_text(PARAMS.replace("seed: 1", "seed: 2\n  new: {odd key!: [1]}"))
    (project / "pipelines/study/params.yaml").write_text("ladder: {}\n")
    found = heading(project, "main", "dvc repro")
    assert found.name == f"{git(project, 'rev-parse', 'HEAD')[:7]}+ Train longer"
    assert found.tags["changed.pretrain.seed"] == "1 -> 2"
    assert found.tags["changed.pretrain.new.odd key_"] == "absent -> [1]"
    assert "- Changed: `pretrain.seed` 1 -> 2" in found.tags["mlflow.note.content"]
    assert "changed.ladder.steps" not in found.tags
    assert changed_values(project, "study")["ladder.steps"] == "3 -> absent"
    (project / "params.yaml").write_text("no: [yaml")  # each stage reports that
    assert heading(project, "main", "dvc repro").params == {}


def test_experiments_and_flow_runs_are_named_by_their_names(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = git(project, "rev-parse", "HEAD")[:7]
    flow = FlowRun("amber-fox", "1234", "http://127.0.0.1:4200/runs/flow-run/1234")
    found = heading(project, "retrain", "pipelines.retrain run", flow)
    assert found.name == f"retrain: amber-fox ({short})"
    assert found.tags["prefect.flow_run_id"] == "1234"
    assert f"- Prefect flow run: [amber-fox]({flow.url})" in found.tags["mlflow.note.content"]
    monkeypatch.setenv("DVC_EXP_NAME", "book")
    found = heading(project, "main", "dvc exp run")
    assert found.name == f"book ({short})" and found.tags["dvc.experiment"] == "book"
    assert "- DVC experiment: `book`" in found.tags["mlflow.note.content"]


def test_a_link_to_the_commit_has_no_password(project: Path) -> None:
    head = git(project, "rev-parse", "HEAD")
    for origin, host in (
        ("https://me:secret@example.org/a/b.git", "example.org"),
        ("https://example.org:8443/a/b.git", "example.org:8443"),
        ("git@example.org:a/b.git", "example.org"),
    ):
        git(project, "config", "remote.origin.url", origin)
        note = heading(project, "main", "x").tags["mlflow.note.content"]
        assert f"[`{head}`](https://{host}/a/b/commit/{head})" in note and "secret" not in note


def test_a_folder_without_git_is_named_by_the_pipeline(tmp_path: Path) -> None:
    assert heading(tmp_path, "main", "x").name == "main"
    assert heading(tmp_path, "study", "x").name == "study"
