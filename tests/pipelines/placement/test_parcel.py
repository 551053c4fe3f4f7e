"""A clone that unpacks a parcel and pulls runs the stage as home would, and home takes its results over."""

import os
import subprocess
import sys
from contextlib import chdir
from dataclasses import replace
from pathlib import Path

import pytest
from dvc.repo import Repo

from groundup.errors import BadInput
from pipelines.placement import parcel, remote
from tests.pipelines import toy
from tests.pipelines.placement.project import git

DVC_YAML = """\
stages:
  first:
    cmd: cp source.txt first.txt && echo '{"score":1}' >small.json
    deps: [source.txt]
    outs: [first.txt]
    plots: [{small.json: {cache: false}}]
  second:
    cmd: cat first.txt small.json >second.txt; wc second.txt >more.json; echo once >>ran
    deps: [first.txt, small.json, code]
    params: [left]
    outs: [second.txt]
    plots: [{more.json: {cache: false}}]
"""


def repro(folder: Path, stage: str) -> list[str]:
    """Run `dvc repro --single-item`; return the stages that are new in the lock file."""
    with chdir(folder), Repo(str(folder)) as repo:
        return [done.name for done in repo.reproduce(stage, single_item=True)]


def take_over(folder: Path, stage: str) -> bool:
    with chdir(folder):  # DVC's run cache works only inside the project
        return remote.take_over(folder, stage)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose first stage has run, with a pushed commit, and a value and a module changed since."""
    folder = tmp_path_factory.mktemp("placed")
    home = toy.make(folder / "home", DVC_YAML, more={"code/module.py": "one = 1\n", ".gitignore": "/ran\n"})
    toy.run(home, sys.executable, "-m", "dvc", "remote", "add", "-d", "team", str(folder / "remote"))
    git(home, "commit", "--quiet", "--all", "--message", "a remote")
    git(folder, "clone", "--quiet", "--bare", "home", "origin.git")
    git(home, "remote", "add", "origin", "../origin.git")
    git(home, "fetch", "--quiet", "origin")
    repro(home, "first")
    params = (home / "params.yaml").read_text()
    (home / "params.yaml").write_text(params.replace("1.0e-05", "1.0e-04"))
    (home / "code/module.py").write_text("one = 2\n")
    return home


def new_clone(home: Path, place: Path) -> Path:
    git(home, "clone", "--quiet", parcel.repository(home), str(place))
    return place


def test_a_stage_that_ran_in_a_clone_need_not_run_at_home(project: Path, tmp_path: Path) -> None:
    packed = parcel.pack(project, "second")
    assert packed.targets == ["first.txt"] and packed.files == {"small.json": '{"score":1}\n'}
    remote.push(project, packed.targets)
    assert not take_over(project, "second")
    clone = new_clone(project, tmp_path / "clone")
    parcel.unpack(clone, packed)
    remote.pull(clone, packed.targets)
    parcel.check_inputs(clone, "second", packed.entry)
    assert repro(clone, "second") == ["second"]
    with chdir(clone):
        remote.push_results(clone, "second")
    for name in ("second.txt", "more.json"):  # as a stage that was killed at home would leave them
        (project / name).write_text("half")

    assert take_over(project, "second")
    assert repro(project, "second") == ["second"]
    assert not (project / "ran").exists() and (clone / "ran").exists()
    with Repo(str(project)) as repo:
        assert repo.status() == {}
    for name in ("second.txt", "more.json"):
        assert (project / name).read_text() == (clone / name).read_text() != ""


def test_a_new_file_that_git_does_not_know_is_named(project: Path, tmp_path: Path) -> None:
    (project / "code/new.py").write_text("two = 2\n")
    try:
        packed = parcel.pack(project, "second")
        remote.push(project, packed.targets)
        clone = new_clone(project, tmp_path / "clone")
        parcel.unpack(clone, packed)
        remote.pull(clone, packed.targets)
        with pytest.raises(
            BadInput, match="on the worker, code differ from what second reads at home; commit"
        ):
            parcel.check_inputs(clone, "second", packed.entry)
    finally:
        (project / "code/new.py").unlink()


def test_a_worker_accepts_only_a_new_clone_of_the_commit(project: Path, tmp_path: Path) -> None:
    packed = parcel.pack(project, "second")
    clone = new_clone(project, tmp_path / "clone")
    with pytest.raises(BadInput, match=rf"is at {packed.commit}; expected a new clone of 0000"):
        parcel.unpack(clone, replace(packed, commit="0000"))
    with pytest.raises(BadInput, match="cannot be applied on the worker"):
        parcel.unpack(clone, replace(packed, patch=packed.patch.replace("one = 1", "one = 3")))
    assert git(clone, "status", "--porcelain") == ""
    parcel.unpack(clone, packed)
    with pytest.raises(BadInput, match="-dirty; expected a new clone"):
        parcel.unpack(clone, packed)


def test_what_cannot_be_sent_is_said_at_home(project: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    subprocess.run(["cp", "-r", str(project), str(home)], check=True)
    (home / "source.txt").write_bytes(os.urandom(parcel.LIMIT))
    with pytest.raises(BadInput, match="too large to send to a worker"):
        parcel.pack(home, "second")
    git(home, "commit", "--quiet", "--all", "--message", "not pushed")
    with pytest.raises(BadInput, match=r"is not on the git remote origin, .*; push it \(git push\)"):
        parcel.pack(home, "second")
    git(home, "remote", "remove", "origin")
    with pytest.raises(BadInput, match="has no git remote origin"):
        parcel.repository(home)
    with pytest.raises(BadInput, match=r"DVC could not push first.txt \(.*no remote"):
        (home / ".dvc/config").write_text("")
        remote.push(home, ["first.txt"])


@pytest.mark.parametrize(
    ("address", "sent"),
    [
        ("https://user:secret@example.org/team/project.git", "https://example.org/team/project.git"),
        ("git@example.org:team/project.git", "git@example.org:team/project.git"),
        ("../origin.git", "{parent}/origin.git"),
    ],
)
def test_the_address_of_the_repository_has_no_password(tmp_path: Path, address: str, sent: str) -> None:
    (tmp_path / "origin.git").mkdir()
    home = tmp_path / "home"
    home.mkdir()
    git(home, "init", "--quiet")
    git(home, "remote", "add", "origin", address)
    assert parcel.repository(home) == sent.format(parent=tmp_path.resolve())
