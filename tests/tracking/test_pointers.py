"""Large weights are found again by path or in DVC's cache, only if they are the same, or the message says how."""

import json
from pathlib import Path

import pytest

from groundup.errors import BadInput
from groundup.tracking.pointers import cache_folder, complete, link_weights, md5_of, place_in, stored_form

CONTENT = b"weights" * 100


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DVC project with a remote and one checkpoint."""
    project = tmp_path / "project"
    (project / ".dvc").mkdir(parents=True)
    (project / ".dvc/config").write_text("[core]\n    remote = store\n['remote \"store\"']\n    url = /x\n")
    checkpoint = project / "data/models/spam"
    checkpoint.mkdir(parents=True)
    (checkpoint / "model.safetensors").write_bytes(CONTENT)
    (checkpoint / "config.json").write_text("{}")
    monkeypatch.chdir(project)
    return project


def pointer_to(project: Path, target: Path) -> Path:
    """Store the checkpoint as a pointer in `target`."""
    with stored_form(project / "data/models/spam", project, 100, "abc123") as stored:
        target.mkdir()
        for file in stored.iterdir():
            (target / file.name).write_bytes(file.read_bytes())
    return target


def test_the_limit_decides_what_is_stored(project: Path, tmp_path: Path) -> None:
    checkpoint = project / "data/models/spam"
    with stored_form(checkpoint, project, len(CONTENT), "") as stored:
        assert stored == checkpoint
    stored = pointer_to(project, tmp_path / "stored")
    assert {file.name for file in stored.iterdir()} == {"config.json", "weights.json"}
    assert json.loads((stored / "weights.json").read_text()) == {
        "path": "data/models/spam/model.safetensors",
        "md5": md5_of(checkpoint / "model.safetensors"),
        "bytes": len(CONTENT),
        "revision": "abc123",
        "remote": "store",
    }


def test_a_link_to_the_cache_keeps_its_place(project: Path, tmp_path: Path) -> None:
    """As DVC leaves it with `cache.type symlink`, in an experiment's workspace outside of the cache's project."""
    weights, cached = project / "data/models/spam/model.safetensors", tmp_path / "cache/ab/cdef"
    cached.parent.mkdir(parents=True)
    weights.rename(cached)
    weights.symlink_to(cached)
    stored = pointer_to(project, tmp_path / "stored")
    assert json.loads((stored / "weights.json").read_text())["path"] == "data/models/spam/model.safetensors"
    with complete(stored) as folder:
        assert (folder / "model.safetensors").read_bytes() == CONTENT
    assert place_in(project, tmp_path / "elsewhere") == f"{tmp_path}/elsewhere"


@pytest.mark.parametrize("shared", [False, True])
def test_weights_are_found_in_the_project_then_in_the_cache(
    project: Path, tmp_path: Path, shared: bool
) -> None:
    """Also if `dvc cache dir` has put the cache elsewhere."""
    stored, weights = pointer_to(project, tmp_path / "stored"), project / "data/models/spam/model.safetensors"
    with complete(stored) as folder:
        assert (folder / "model.safetensors").read_bytes() == CONTENT and (folder / "config.json").exists()
    assert not (stored / "model.safetensors").exists()  # the store is left as it is
    md5 = md5_of(weights)
    if shared:
        (project / ".dvc/config.local").write_text("[cache]\n    dir = ../../shared\n")
    folder = tmp_path / "shared" if shared else project / ".dvc/cache"
    copy = folder / "files/md5" / md5[:2] / md5[2:]
    copy.parent.mkdir(parents=True)
    copy.write_bytes(CONTENT)
    weights.write_bytes(CONTENT[::-1])  # a newer model of the same size
    link_weights(stored)
    assert (stored / "model.safetensors").resolve() == copy.resolve()


def test_the_cache_may_be_elsewhere(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    assert cache_folder(tmp_path) == tmp_path / ".dvc" / "cache"
    (tmp_path / ".dvc/config").write_text(
        "[cache]\n    dir = ../../shared\n['remote \"a\"']\n    url = x%20y\n"
    )
    assert cache_folder(tmp_path) == tmp_path.parent / "shared"
    (tmp_path / ".dvc/config.local").write_text("[cache]\n    dir = /big/disk\n")
    assert cache_folder(tmp_path) == Path("/big/disk")


def test_absent_weights_are_one_sentence(project: Path, tmp_path: Path) -> None:
    stored = pointer_to(project, tmp_path / "stored")
    (project / "data/models/spam/model.safetensors").write_bytes(CONTENT[::-1])
    wanted = r"at git revision abc123: dvc pull data/models/spam -r store$"
    with pytest.raises(BadInput, match=wanted), complete(stored):
        pass


def test_a_project_that_was_moved_still_has_the_weights(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = pointer_to(project, tmp_path / "stored")
    moved = project.rename(tmp_path / "moved")
    for place, given in ((moved / "data", ""), (tmp_path, str(moved))):
        monkeypatch.chdir(place)
        monkeypatch.setenv("GROUNDUP_ROOT", given)
        with complete(stored) as folder:
            assert (folder / "model.safetensors").read_bytes() == CONTENT
