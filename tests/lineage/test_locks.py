"""Lock files are read without DVC; DVC itself is the oracle for keys, folder hashes and listings."""

import hashlib
import sys
from pathlib import Path

import pytest

from groundup.lineage.locks import (
    FOLDER,
    RUN_CACHE,
    Locked,
    Locks,
    address,
    folder_hash,
    split,
    stage_key,
)
from pipelines.lineage import recorded_keys
from tests.pipelines import toy

STUDY = "pipelines/study/dvc.yaml"


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that ran twice with other data: nothing was committed, so dvc.lock has the second run only."""
    folder = toy.make(tmp_path_factory.mktemp("toy"), more={STUDY: toy.STUDY_YAML})
    toy.run(folder, sys.executable, "-m", "dvc", "repro", "-q", "--all-pipelines")
    (folder / "first.lock").write_bytes((folder / "dvc.lock").read_bytes())
    (folder / "source.txt").write_text('{"score": 1}\n')
    toy.run(folder, sys.executable, "-m", "dvc", "repro", "-q")
    return folder


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def test_keys_and_names_are_those_of_dvc(twice: Path) -> None:
    locks = Locks(twice)
    for stage, key in recorded_keys(twice).items():
        found = locks.find(key)
        assert found is not None
        assert (found.stage, found.key, found.source) == (stage, key, FOLDER)
    assert locks.find("0" * 32) is None
    assert address(*split(f"{STUDY}:beyond@big")) == f"{STUDY}:beyond@big"


def test_both_runs_are_found_by_what_they_wrote(twice: Path) -> None:
    locks = Locks(twice)
    new = locks.maker("left.txt", md5('{"score": 1}\n'))
    old = locks.maker("left.txt", md5('{"score": 0.5}\n'))
    assert new is not None and old is not None
    assert (new.stage, new.source) == ("left", FOLDER)
    assert (old.stage, old.source) == (
        "left",
        RUN_CACHE,
    )  # the name is that of the stage with the same output
    assert {one.stage for one in locks.users(new)} == {"join"}
    assert locks.maker("left.txt", md5("never")) is None
    inside = locks.maker("folder/right.txt", md5('{"score": 1}\n'), FOLDER)
    assert inside is not None and inside.stage == "right"


def test_the_hash_of_a_folder_is_the_one_that_dvc_computed(twice: Path) -> None:
    found = Locks(twice).stage_of("folder")
    assert found is not None
    assert folder_hash(twice / "folder") == found.outs["folder"]
    empty = twice / "empty"
    empty.mkdir()
    assert folder_hash(empty) == "d751713988987e9331980363e24189ce.dir"
    empty.rmdir()


def test_the_record_of_a_commit_comes_first(twice: Path) -> None:
    committed = (twice / "dvc.lock").read_bytes()
    (twice / "dvc.lock").write_bytes((twice / "first.lock").read_bytes())
    author = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    toy.run(twice, "git", "add", "dvc.lock")
    toy.run(twice, "git", *author, "commit", "-q", "-m", "first")
    commit = toy.run(twice, "git", "rev-parse", "HEAD").stdout.strip()
    (twice / "dvc.lock").write_bytes(committed)
    old = md5('{"score": 0.5}\n')
    found = Locks(twice, f"{commit}-dirty").maker("left.txt", old)
    assert found is not None and found.source == f"commit {commit[:10]}"
    # without the revision: the run cache comes before old commits
    found = Locks(twice).maker("left.txt", old)
    assert found is not None and found.source == RUN_CACHE


@pytest.mark.parametrize("text", ["", "stages:\n", "a: [\n", "- 1\n"])
def test_an_incomplete_lock_file_has_no_stages(tmp_path: Path, text: str) -> None:
    (tmp_path / "dvc.lock").write_text(text)
    assert Locks(tmp_path).find("0" * 32) is None


def test_a_key_ignores_outputs_and_the_order_of_dependencies() -> None:
    entry = {
        "cmd": "a",
        "deps": [{"path": "x", "md5": "1"}, {"path": "y", "md5": "2"}],
        "params": {"p": {"a": 1}},
    }
    key = stage_key(entry)
    assert stage_key({**entry, "outs": [{"path": "z", "md5": "3"}], "deps": entry["deps"][::-1]}) == key
    assert stage_key({**entry, "params": {"p": {"a": 2}}}) != key
    assert Locked("s", entry, "").deps == {"x": "1", "y": "2"}
