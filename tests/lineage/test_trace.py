"""The lineage of a model that real stages made: complete, the same after a move, honest about what is lost."""

import hashlib
import shutil
import sys
from pathlib import Path

import pytest

from groundup.errors import BadInput
from groundup.lineage.trace import Trace, trace
from groundup.tracking import connect
from groundup.tracking.ledger import LEDGER, Entry, Ledger
from tests.lineage import project
from tests.pipelines import toy

STAGES = ["download@spam", "validate", "prepare_spam", "finetune_spam", "evaluate"]


@pytest.fixture
def copied(made: Path, tmp_path: Path) -> Path:
    """A copy to change, in another folder."""
    shutil.copytree(made, tmp_path / "another place", symlinks=True)
    return tmp_path / "another place"


def md5(file: Path) -> str:
    return hashlib.md5(file.read_bytes()).hexdigest()


def traced(folder: Path, model: str = "groundup-spam") -> Trace:
    return trace(folder, connect(folder), model)


def head(folder: Path) -> str:
    return toy.run(folder, "git", "rev-parse", "HEAD").stdout.strip()


def test_the_whole_chain_is_found_and_every_hash_is_that_of_the_file(made: Path) -> None:
    found = traced(made)
    assert [step.stage for step in found.steps] == STAGES
    phases = ["raw data", "validation", "preparation", "training", "evaluation"]
    assert [step.phase for step in found.steps] == phases
    assert [step.after for step in found.steps] == [
        (),
        ("download@spam",),
        ("download@spam", "validate"),
        ("prepare_spam", "validate"),
        ("finetune_spam", "prepare_spam"),
    ]
    files = [item for step in found.steps for item in (*step.data, *step.code, *step.outs)]
    checked = [item for item in files if (made / item.path).is_file()]
    assert len(checked) > 10
    assert {item.path: item.hash for item in checked} == {
        item.path: md5(made / item.path) for item in checked
    }
    weights = made / "data/models/spam/model.safetensors"
    assert found.weights is not None
    assert found.weights.sha256 == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert found.weights.bytes == weights.stat().st_size
    for step in found.steps:
        run = found.runs[step.key]
        assert (run.stage, run.revision, run.status) == (step.stage, head(made), "FINISHED")
    assert found.unknown == ("no entry of reports/ledger.jsonl is on groundup-spam version 2",)


def test_raw_data_have_licence_source_and_checksum(made: Path) -> None:
    [one] = traced(made).raw["download@spam"]
    assert (one.name, one.title, one.licence) == ("messages", "Messages", "CC0")
    assert one.location == "file:data/own/messages.txt"
    assert one.sha256 == hashlib.sha256((made / "data/raw.jsonl").read_bytes()).hexdigest()


def test_machine_and_packages_of_every_run(made: Path) -> None:
    import numpy

    for run in traced(made).runs.values():
        environment = run.environment
        assert environment is not None
        assert environment["python"] == sys.version.split()[0]
        assert environment["packages"]["numpy"] == numpy.__version__
        assert environment["cpu"]["model"] and environment["cpu"]["usable_cores"] >= 1


def test_a_model_is_named_by_alias_version_and_folder(made: Path) -> None:
    expected = traced(made).as_json()
    for name in ("groundup-spam@champion", "groundup-spam/2", "models:/groundup-spam/2", "data/models/spam"):
        assert {**traced(made, name).as_json(), "model": "groundup-spam"} == expected


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("groundup-spin", r"groundup-spin is neither .* expected one of groundup-spam"),
        ("groundup-spam@best", r"has no alias best; expected one of champion"),
        ("groundup-spam/7", r"has no version 7; its versions are 1, 2"),
        ("groundup-spam/x", r"has no version x; its versions are 1, 2"),
        ("data/own", r"no stage in a dvc.lock of .* writes data/own"),
    ],
)
def test_a_wrong_name_is_explained(made: Path, name: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        traced(made, name)


def test_after_the_project_was_moved_the_lineage_is_the_same(made: Path, copied: Path) -> None:
    expected = traced(made).as_json()
    aside = made.with_name("aside")  # of all tests, so it returns in the end
    made.rename(aside)  # so that nothing can be read from the old place
    try:
        found = traced(copied)
        assert found.as_json() == expected
        assert found.registered is not None and found.registered.folder is not None
        assert found.registered.folder.is_relative_to(copied)
        assert found.weights is not None and found.weights.sha256
    finally:
        aside.rename(made)


def test_an_older_model_is_traced_although_its_lock_file_was_never_committed(made: Path) -> None:
    """dvc.lock has only the last run; DVC's run cache has the earlier ones."""
    new, old = traced(made), traced(made, "groundup-spam/1")
    assert {step.source for step in new.steps} == {"the project's folder"}
    assert {step.source for step in old.steps} == {"DVC's run cache"}
    assert [step.stage for step in old.steps] == STAGES
    assert not {step.key for step in old.steps} & {step.key for step in new.steps}
    assert not {run.id for run in old.runs.values()} & {run.id for run in new.runs.values()}
    starts = [old.runs[step.key].started for step in old.steps] + [new.runs[new.steps[0].key].started]
    assert starts == sorted(starts)


def test_an_older_model_is_traced_with_a_committed_lock_file(made: Path, copied: Path) -> None:
    last = (copied / "dvc.lock").read_bytes()
    (copied / "dvc.lock").write_bytes((copied / "first.lock").read_bytes())
    commit = project.commit(copied, "results of the first run")
    (copied / "dvc.lock").write_bytes(last)
    shutil.rmtree(copied / ".dvc/cache")
    found = traced(copied, "groundup-spam/1")
    assert {step.source for step in found.steps} == {f"commit {commit[:10]}"}
    expected = traced(made, "groundup-spam/1")
    assert [(step.stage, step.key, step.outs) for step in found.steps] == [
        (step.stage, step.key, step.outs) for step in expected.steps
    ]


def test_without_any_lock_file_what_the_run_itself_recorded_is_left(copied: Path) -> None:
    shutil.rmtree(copied / ".dvc/cache/runs")
    found = traced(copied, "groundup-spam/1")
    assert [step.stage for step in found.steps] == ["finetune_spam"]
    assert found.step.source == f"run {found.run.id if found.run else ''}"
    assert any("made data/prepared with the hash" in sentence for sentence in found.unknown)


def test_what_is_lost_is_said(copied: Path) -> None:
    store = connect(copied)
    store.client.delete_run(project.newest_run(store, "prepare_spam").info.run_id)
    (copied / "data/catalogue.yaml").write_text("messages: {licence: another}\n")
    toy.run(copied, "git", "checkout", "-q", "--orphan", "new")
    toy.run(copied, "git", "add", "-A")
    found = traced(copied)
    assert any(
        "no finished run of this store has the stage key of prepare_spam" in one for one in found.unknown
    )
    [one] = found.raw["download@spam"]
    assert one.licence == "CC0" and not one.remark  # of the commit, which is still in the repository
    (copied / "data/models/spam/model.safetensors").write_bytes(b"changed")
    said = traced(copied, "data/models/spam").unknown
    assert any(
        "data/models/spam/model.safetensors has changed since finetune_spam wrote it" in one for one in said
    )


def test_the_decisions_on_a_version_are_those_of_the_ledger(copied: Path) -> None:
    """Not those on other versions, on other models, or on versions of another clone's store."""
    version = traced(copied).registered
    assert version is not None and version.version == "2"
    here, ledger = version.registry, Ledger(copied / LEDGER)
    entries: list[Entry] = []
    with ledger.locked():
        for model, store, action, before, after, candidate in (
            ("groundup-spam", here, "adopted", None, "1", None),
            ("groundup-chat", here, "promoted", "1", "2", "2"),
            ("groundup-spam", here, "promoted", "1", "2", "2"),
            ("groundup-spam", here, "promoted", "2", "3", "3"),
            ("groundup-spam", here, "rolled_back", "3", "1", None),
            ("groundup-spam", here, "kept", "1", "1", "2"),
            ("groundup-spam", "another store", "adopted", None, "2", None),
        ):
            about = {"model": model, "registry": store, "action": action, "numbers": {}, "reasons": ()}
            moved = {"before": before, "after": after, "candidate": candidate}
            ledger.append(entries, **about, **moved, run_id="", revision="", lock="", actor="a test")
    with (copied / LEDGER).open("a") as file:
        file.write('{"number": 8, "mod')  # a process was killed here
    assert [entry["number"] for entry in traced(copied).decisions] == [3, 4, 6]

    text = (copied / LEDGER).read_text()
    (copied / LEDGER).write_text(text.replace("a test", "nobody", 1))
    found = traced(copied)
    assert found.decisions == ()
    assert [one for one in found.unknown if f"{LEDGER} is damaged at entry 1" in one]
