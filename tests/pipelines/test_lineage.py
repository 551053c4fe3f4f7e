"""The stage key is the same before, during and after the stage, and differs if the inputs differ."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from groundup.errors import BadInput
from groundup.lineage.locks import address, split, stage_key, workspace
from pipelines.lineage import (
    find_stage,
    lock_entry,
    open_repo,
    project_of,
    recorded_keys,
    revision_tags,
    stage_entry,
    stage_tags,
)
from pipelines.params import PIPELINES
from tests.pipelines import toy

STUDY = PIPELINES["study"].dvc_yaml
STAGES = ["fetch@one", "left", "right", "join", f"{STUDY}:beyond@big", f"{STUDY}:beyond@small"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = toy.make(tmp_path_factory.mktemp("toy"), more={STUDY: toy.STUDY_YAML})
    toy.run(folder, sys.executable, "-m", "dvc", "repro", "-q", "--all-pipelines")
    return folder


@pytest.mark.parametrize("name", STAGES)
def test_key_computed_by_the_stage_is_the_key_read_from_the_lock(project: Path, name: str) -> None:
    assert stage_tags(stage_entry(name, project), project)["stage_key"] == recorded_keys(project)[name]


def test_a_reader_waits_for_a_stage_that_writes_the_lock_file(project: Path) -> None:
    lock, key = project / "dvc.lock", recorded_keys(project)["left"]
    whole = lock.read_text()
    with ThreadPoolExecutor() as pool:
        with open_repo(project):
            lock.write_text("")  # DVC writes it in place
            entry, keys = pool.submit(stage_entry, "left", project), pool.submit(recorded_keys, project)
            wait([entry, keys], timeout=0.5)  # a reader without the lock has failed by now
            lock.write_text(whole)
        assert stage_key(entry.result()) == keys.result()["left"] == key


def test_keys_differ_between_stages(project: Path) -> None:
    keys = recorded_keys(project)
    assert set(keys) == set(STAGES)
    assert len(set(keys.values())) == len(STAGES)


def test_a_stage_has_the_name_of_dvc_in_the_folder_of_the_project(project: Path) -> None:
    listed = toy.run(project, sys.executable, "-m", "dvc", "stage", "list", "--name-only", "dvc.yaml", STUDY)
    assert listed.stdout.split() == STAGES
    assert [address(*split(name)) for name in STAGES] == STAGES
    assert split("left") == ("dvc.yaml", "left") and split(STAGES[-1]) == (STUDY, "beyond@small")


def test_key_depends_on_command_dependencies_and_params_only(project: Path) -> None:
    entry = lock_entry(find_stage(project, "left"))
    key = stage_key(entry)
    assert stage_key({**entry, "outs": [{"path": "x", "md5": "0"}]}) == key
    assert stage_key({**entry, "deps": list(reversed(entry["deps"]))}) == key
    assert stage_key({**entry, "cmd": "other"}) != key
    assert stage_key({**entry, "params": {"params.yaml": {"left": {"rate": 2}}}}) != key
    assert stage_key({**entry, "deps": [{**entry["deps"][0], "md5": "0"}, *entry["deps"][1:]]}) != key


def test_tags_have_the_fingerprints_of_data_but_not_of_code(project: Path) -> None:
    tags = stage_tags(stage_entry("join", project), project)
    assert set(tags) == {"stage_key", "data.folder", "data.left.txt"}
    assert tags["data.folder"].endswith(".dir")


def test_a_folder_of_modules_is_code(tmp_path: Path) -> None:
    dvc_yaml = "stages: {one: {cmd: 'true', deps: [library, folder]}}\n"
    more = {"library/inner/module.py": "", "library/page.j2": "", "folder/a.txt": ""}
    folder = toy.make(tmp_path / "toy", dvc_yaml, more=more)
    assert set(stage_tags(stage_entry("one", folder), folder)) == {"stage_key", "data.folder"}


@pytest.mark.parametrize("name", ["join", f"{STUDY}:beyond@big"])
def test_missing_dependencies_are_named_with_the_command_that_makes_them(project: Path, name: str) -> None:
    """`dvc repro --single-item` starts a stage without checking whether its dependencies exist."""
    (project / "left.txt").rename(project / "aside.txt")
    try:
        with pytest.raises(
            BadInput,
            match=rf"dependencies of {name} are missing \(left.txt\); make them first: dvc repro {name}",
        ):
            stage_entry(name, project)
    finally:
        (project / "aside.txt").rename(project / "left.txt")


def test_an_unreadable_dependency_is_reported_in_one_sentence(project: Path) -> None:
    text = (project / "dvc.yaml").read_text()
    (project / "dvc.yaml").write_text(text + "  odd: [\n")
    try:
        with pytest.raises(BadInput, match="DVC cannot read the dependencies of left") as error:
            stage_entry("left", project)
        assert "\n" not in str(error.value)
    finally:
        (project / "dvc.yaml").write_text(text)
    with pytest.raises(BadInput, match="DVC cannot read"):
        stage_entry("no-such-stage", project)


def test_workspace_is_the_enclosing_dvc_project_and_a_temporary_one_has_a_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "project/.dvc/tmp/exps/tmpabc"
    (temporary / ".dvc").mkdir(parents=True)
    (temporary / "data").mkdir()
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "project"))  # as DVC sets it in a temporary workspace
    monkeypatch.chdir(temporary / "data")
    assert workspace() == temporary
    assert project_of(temporary) == tmp_path / "project"
    monkeypatch.chdir(tmp_path / "project")
    assert workspace() == project_of(workspace()) == tmp_path / "project"
    monkeypatch.chdir(tmp_path)
    assert workspace() == tmp_path  # outside of DVC


def test_no_lock_file_yet_or_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[core]\nno_scm = true\n")
    assert recorded_keys(tmp_path) == {}
    (tmp_path / "dvc.lock").touch()
    assert recorded_keys(tmp_path) == {}


def test_revision_tags(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DVC_EXP_NAME", raising=False)
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=project, capture_output=True, text=True, check=True
    ).stdout.strip()
    assert revision_tags(project) == {"git.revision": head, "mlflow.source.git.commit": head}
    # what a run writes does not make the code another one
    locks = {
        project / name: (project / name).read_text() for name in ("dvc.lock", "pipelines/study/dvc.lock")
    }
    toy.run(project, "git", "add", *map(str, locks))
    for lock, text in locks.items():
        lock.write_text(text + "# changed\n")
    assert revision_tags(project)["git.revision"] == head
    toy.run(project, "git", "reset", "-q")
    for lock, text in locks.items():
        lock.write_text(text)
    params = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(params + "# changed\n")
    try:
        monkeypatch.setenv("DVC_EXP_NAME", "trial")
        tags = revision_tags(project)
        assert tags["git.revision"] == f"{head}-dirty" and tags["dvc.experiment"] == "trial"
    finally:
        (project / "params.yaml").write_text(params)
        os.utime(project / "params.yaml")
    monkeypatch.delenv("DVC_EXP_NAME")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert revision_tags(tmp_path) == {}  # no repository
