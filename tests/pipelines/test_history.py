import hashlib
import subprocess
from pathlib import Path

import pytest
from dvc.repo import Repo

from pipelines.history import History

OLD, NEW = b"x = 1\n", b"x = 2\r\n\xff"


def git(folder: Path, *arguments: str) -> None:
    author = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", *author, *arguments], cwd=folder, check=True, capture_output=True)


def commit(folder: Path, message: str) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", message)


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def by_dvc(project: Path, folder: str) -> str:
    """Return DVC's hash of a folder on disk."""
    (project / "dvc.yaml").write_text(f"stages: {{any: {{cmd: 'true', deps: [{folder}]}}}}")
    with Repo(str(project)) as repo:
        [stage] = repo.index.stages
        return str(stage.deps[0].get_hash().value)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with two versions of `room`, inside a larger repository."""
    git(tmp_path, "init", "--quiet")
    folder = tmp_path / "a project"
    (folder / "room/deep").mkdir(parents=True)
    with Repo.init(str(folder), subdir=True):
        (folder / ".dvcignore").write_text("*.log\n")
    (folder / "room/a b.py").write_bytes(OLD)
    (folder / "room/deep/page.j2").write_text("é")
    (folder / "room/run.log").write_text("tracked by git, and nothing to DVC")
    commit(tmp_path, "first")
    return folder


def change(project: Path) -> None:
    (project / "room/a b.py").write_bytes(NEW)
    (project / "room/deep/page.j2").unlink()
    commit(project, "second")


def test_a_file_is_found_as_it_was_at_any_revision(project: Path) -> None:
    change(project)
    history = History(project)
    assert history.file("room/a b.py", md5(OLD)) == OLD
    assert history.file("room/a b.py", md5(NEW)) == NEW
    assert history.file("room/deep/page.j2", md5("é".encode())) == "é".encode()
    assert history.file("room/a b.py", md5(b"never")) is None
    assert history.file("no/such.py", md5(OLD)) is None


def test_a_folder_is_found_by_the_hash_of_dvc(project: Path) -> None:
    name = by_dvc(project, "room")
    change(project)
    files = {"room/a b.py": OLD, "room/deep/page.j2": "é".encode()}
    assert History(project).folder("room", name, lambda path: path.endswith(".log")) == files
    assert History(project).folder("room", name, lambda path: False) is None
    assert History(project).folder("room", by_dvc(project, "room"), lambda path: path.endswith(".log")) == {
        "room/a b.py": NEW
    }


def test_versions_on_other_and_on_merged_branches_are_found(project: Path) -> None:
    git(project, "checkout", "--quiet", "-b", "side")
    change(project)
    git(project, "checkout", "--quiet", "-")
    assert History(project).file("room/a b.py", md5(NEW)) == NEW
    commit(project, "meanwhile")
    git(project, "merge", "--quiet", "--strategy=ours", "side")
    git(project, "branch", "--delete", "--force", "side")
    assert History(project).file("room/a b.py", md5(NEW)) == NEW


def test_without_git_nothing_is_found(tmp_path: Path) -> None:
    history = History(tmp_path)
    assert not history.is_there()
    assert history.file("a.py", md5(OLD)) is None
    assert history.folder("room", "0" * 32 + ".dir", lambda path: False) is None
