"""`make back` restores the state before a run with a profile, committed or not; the oracle is that state."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from groundup.errors import BadInput
from pipelines import way_back as module
from tests.pipelines import toy

DVC = (sys.executable, "-m", "dvc")
MORE = {
    "reports/figures.json": "{}\n",
    "pipelines/profiles/book.txt": "left.names=null\nleft.names=[c]\nleft.steps=5.0e-6  # fewer of them\n",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project in which no stage has run."""
    return toy.make(tmp_path / "project", more=MORE)


def said(step: Callable[[Path, Callable[[str], None]], None], project: Path) -> list[str]:
    sentences: list[str] = []
    step(project, sentences.append)
    return sentences


def note(project: Path) -> None:
    assert said(lambda root, say: module.keep(root, say, "book"), project) == []


def back(project: Path) -> list[str]:
    return said(module.back, project)


def to_commit(project: Path) -> list[str]:
    return said(module.to_commit, project)


def outputs(project: Path) -> dict[str, str]:
    names = ["fetched.txt", "left.txt", "folder/right.txt"]
    return {name: (project / name).read_text() for name in names}


def repro(project: Path) -> subprocess.CompletedProcess[str]:
    return toy.run(project, *DVC, "repro", check=False)


def test_back_restores_uncommitted_files_from_before_a_profile(project: Path) -> None:
    params, source, lock = project / "params.yaml", project / "source.txt", project / "dvc.lock"
    params.write_text(params.read_text().replace("1.0e-05", "2.0e-05"))
    source.write_text('{"score": 0.7}\n')
    (project / "reports/figures.json").write_text('{"default": 1}\n')
    assert repro(project).returncode == 0
    toy.run(project, "git", "add", "dvc.lock")
    before = {path: path.read_text() for path in (params, lock, project / "reports/figures.json")}
    expected = outputs(project)

    note(project)
    params.write_text(params.read_text().replace("steps: 5e-4, names: [a, b]", "steps: 5e-06, names: [c]"))
    source.write_text('{"score": 0.8}\n')
    assert repro(project).returncode == 0
    (project / "reports/figures.json").write_text('{"book": 1}\n')
    note(project)  # once more, after an interruption
    assert outputs(project) != expected

    [done] = back(project)
    assert done.startswith("everything is as it was before make repro-book")
    assert {path: path.read_text() for path in before} == before
    assert outputs(project) == expected
    assert source.read_text() == '{"score": 0.8}\n'  # a profile's run does not write it
    assert "book" in toy.run(project, "git", "show", "refs/groundup/left:reports/figures.json").stdout
    with pytest.raises(BadInput, match="there is nothing to go back to"):
        back(project)


def test_the_results_are_kept_after_a_failed_attempt_to_go_back(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note(project)
    (project / "reports/figures.json").write_text('{"book": 1}\n')
    with monkeypatch.context() as broken:
        broken.setattr(sys, "executable", "/bin/false")
        with pytest.raises(subprocess.CalledProcessError):
            back(project)
    assert (project / "reports/figures.json").read_text() == "{}\n"
    assert len(back(project)) == 1
    assert "book" in toy.run(project, "git", "show", "refs/groundup/left:reports/figures.json").stdout


def test_keep_works_if_a_file_was_rewritten_without_a_change(project: Path) -> None:
    os.utime(project / "params.yaml", (1, 1))
    note(project)
    head = toy.run(project, "git", "rev-parse", "HEAD").stdout
    assert toy.run(project, "git", "rev-parse", "refs/groundup/before/0001-book").stdout == head


def test_changed_results_are_to_be_committed(project: Path) -> None:
    assert to_commit(project) == []
    (project / "dvc.lock").write_text("")
    assert "commit the results" in to_commit(project)[0]
    commit(project)
    assert to_commit(project) == []
    (project / "params.yaml").write_text("{}\n")
    assert to_commit(project) == []
    (project / "dvc.lock").write_text("schema: '2.0'\n")
    assert "commit the results" in to_commit(project)[0]


def test_first_results_are_to_be_committed(project: Path) -> None:
    toy.run(project, "git", "update-ref", "-d", "HEAD")
    (project / "dvc.lock").write_text("")
    assert "commit the results" in to_commit(project)[0]


def test_restoring_a_commit_skips_pipelines_that_never_ran(tmp_path: Path) -> None:
    """A new user has the lock file of a study that ran on another machine."""
    study = "pipelines/study/dvc.yaml"
    stage = "cmd: python work.py left.txt study/all.txt, wdir: ../.., deps: [work.py, left.txt], outs: [study/all.txt]"
    origin = toy.make(tmp_path / "origin", more={study: f"stages: {{beyond: {{{stage}}}}}\n"})
    toy.run(origin, *DVC, "repro", study)
    commit(origin)
    project = tmp_path / "project"
    toy.run(tmp_path, "git", "clone", "-q", str(origin), str(project))
    (project / "source.txt").write_text('{"score": 0.9}\n')
    assert repro(project).returncode == 0
    expected = outputs(project)
    [advice] = to_commit(project)
    commit(project)
    (project / "source.txt").write_text('{"score": 0.8}\n')
    assert repro(project).returncode == 0
    assert outputs(project) != expected

    toy.run(project, "git", "checkout", ".")
    command = advice.partition("dvc checkout ")[2].partition(" then restore")[0].split()
    assert command == ["dvc.yaml"]
    toy.run(project, *DVC, "checkout", *command)
    assert outputs(project) == expected

    toy.run(project, *DVC, "repro", study)
    assert f"dvc checkout dvc.yaml {study} then restore" in to_commit(project)[0]


def commit(project: Path) -> None:
    toy.run(project, "git", "add", "-A")
    toy.run(project, "git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-q", "-m", "r")
