"""git's answers on a small repository; git itself is the oracle."""

import subprocess
from pathlib import Path

import pytest

from groundup.errors import BadInput
from groundup.lineage import repository
from groundup.lineage.repository import (
    apply,
    commits,
    is_commit,
    md5_of,
    revision_of,
    uncommitted,
    version_with,
    versions,
)


def git(folder: Path, *arguments: str) -> str:
    author = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    command = ["git", *author, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two commits of a.txt, one, two, and a changed file in the folder."""
    git(tmp_path, "init", "-q")
    for text in ("one\n", "two\n"):
        (tmp_path / "a.txt").write_text(text)
        (tmp_path / "dvc.lock").write_text(text)
        git(tmp_path, "add", "-A")
        git(tmp_path, "commit", "-q", "-m", text)
    (tmp_path / "a.txt").write_text("three\n")
    return tmp_path


def test_every_version_of_a_file_is_found_with_its_place(folder: Path) -> None:
    new, old = commits(folder, "a.txt")
    assert git(folder, "rev-list", "HEAD").split() == [new, old]
    assert is_commit(folder, old) and not is_commit(folder, "0" * 40) and not is_commit(folder, "")
    assert list(versions(folder, "a.txt", old)) == [
        (f"commit {old[:10]}", b"one\n"),
        ("the project's folder", b"three\n"),
        (f"commit {new[:10]}", b"two\n"),
        (f"commit {old[:10]}", b"one\n"),
    ]
    for text in (b"one\n", b"two\n", b"three\n"):
        assert version_with(folder, "a.txt", md5_of(text), new) == text
    assert version_with(folder, "a.txt", md5_of(b"four\n"), new) is None


def test_a_revision_is_marked_if_something_other_than_results_has_changed(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    head = git(folder, "rev-parse", "HEAD")
    assert revision_of(folder) == f"{head}-dirty"
    git(folder, "checkout", "a.txt")
    (folder / "dvc.lock").write_text("three\n")
    assert revision_of(folder) == head
    (folder / ".dvc").mkdir()
    for settings in (".dvc/config", "prefect.toml"):  # uncommitted() leaves them out too
        (folder / settings).write_text("one\n")
        git(folder, "add", settings)
    assert revision_of(folder) == head and uncommitted(folder) == ""
    assert revision_of(tmp_path_factory.mktemp("no_repository")) == ""


def test_a_project_in_a_folder_of_a_repository(folder: Path) -> None:
    project = folder / "project"
    project.mkdir()
    (project / "a.txt").write_text("inner\n")
    git(folder, "add", "project")
    git(folder, "commit", "-q", "-m", "inner")
    [commit] = commits(project, "a.txt")
    (project / "a.txt").unlink()
    assert list(versions(project, "a.txt", commit)) == [(f"commit {commit[:10]}", b"inner\n")] * 2


def test_a_patch_brings_the_changes_to_another_checkout(folder: Path, tmp_path: Path) -> None:
    (folder / "dvc.lock").write_text("of a run\n")
    (folder / "picture.bin").write_bytes(bytes(range(256)))
    git(folder, "add", "picture.bin")
    patch = uncommitted(folder)
    assert "dvc.lock" not in patch  # a run writes it
    git(folder, "worktree", "add", "-q", "--detach", str(tmp_path / "other"))
    assert apply(tmp_path / "other", patch)
    assert (tmp_path / "other/a.txt").read_text() == "three\n"
    assert (tmp_path / "other/picture.bin").read_bytes() == bytes(range(256))
    assert not apply(tmp_path / "other", patch)  # it is applied already
    assert (tmp_path / "other/a.txt").read_text() == "three\n"


def test_without_changes_without_utf8_or_without_git_there_is_no_patch(folder: Path, tmp_path: Path) -> None:
    (folder / "a.txt").write_bytes(b"caf\xe9\n")
    assert uncommitted(folder) == ""
    git(folder, "checkout", "-q", ".")
    assert uncommitted(folder) == ""
    assert commits(tmp_path.parent, "a.txt") == []


def test_a_git_that_does_not_answer_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git_that_hangs = tmp_path / "git"
    git_that_hangs.write_text("#!/bin/sh\nexec tail -f /dev/null\n")
    git_that_hangs.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(repository, "GIT_SECONDS", 0.2)
    with pytest.raises(BadInput, match=r"waited 0\.2 s for `git rev-parse HEAD` in "):
        revision_of(tmp_path)
