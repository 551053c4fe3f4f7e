"""The inbox of a small DVC project, whose stage prepare_spam adds the increments with the project's own code."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.repo import Repo
from filelock import FileLock
from typer.testing import CliRunner

from groundup.cli.label import label
from groundup.datasets import messages
from groundup.datasets.inbox import Outcome
from groundup.errors import BadInput
from groundup.text.jsonl import read_jsonl, read_splits
from pipelines import inbox
from pipelines.flow import plan
from pipelines.inbox import Intake, take_in
from pipelines.mend import mend
from pipelines.settle import stale_stages
from tests.architecture.stanzas import stanzas
from tests.pipelines import toy
from tests.pipelines.labels_project import AUTHOR, DVC, LETTERS, NEW, build, drop
from tests.pipelines.prepared import content

SPLITS = ("train", "val", "test", "gate")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project after its first run; tests work on copies."""
    return build(tmp_path_factory.mktemp("inbox") / "project")


@pytest.fixture
def project(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the project."""
    root = Path(shutil.copytree(built, tmp_path / "project", symlinks=True))
    for name, value in toy.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(root)
    yield root


@pytest.fixture
def quick_dvc(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write what `dvc add` writes, without its seconds; `test_from_the_inbox_to_a_second_clone` runs the real one."""

    def add(command: list[str], cwd: Path, **_: Any) -> Any:
        for name in command[command.index("--quiet") + 1 :]:
            md5 = hashlib.md5((cwd / name).read_bytes()).hexdigest()
            (cwd / f"{name}.dvc").write_text(
                yaml.safe_dump({"outs": [{"md5": md5, "hash": "md5", "path": Path(name).name}]})
            )
        return inbox.subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(inbox.subprocess, "run", add)


def waiting(root: Path) -> list[str]:
    """Return the names of the files in the inbox."""
    return sorted(path.name for path in (root / "data/inbox").iterdir())


def test_from_the_inbox_to_a_second_clone(project: Path, tmp_path: Path) -> None:
    before = read_splits(project / "data/prepared/spam", SPLITS)
    tested = before["test"][0]
    good = drop(
        project,
        "good.jsonl",
        *NEW,
        (tested["text"].upper(), tested["label"]),
        ("red \x1b[31m", "spam"),
        ("", "ham"),
    )
    (project / "data/inbox/renamed.csv").write_text("message,label\nhi,ham\n")
    kept = good.read_bytes()
    name = hashlib.sha256(kept).hexdigest()[:16]

    intake = take_in(project)
    taken, refused = intake.outcomes
    assert intake.recorded == (name,) and sum(intake.accepted.values()) == len(NEW) == len(taken.accepted)
    assert intake.refused == (refused.reason,) and "but not text" in refused.reason
    assert taken.reasons == {
        "copies or near duplicates of evaluation texts": 1,
        "No text contains control characters other than tab and newline.": 1,
        "Every text contains more than white space.": 1,
    }
    assert waiting(project) == ["README.md"]
    assert (project / f"data/quarantine/{name}.jsonl").read_bytes() == kept
    reasons = json.loads((project / f"data/quarantine/{name}.reasons.json").read_text())
    assert [row["row"] for row in reasons["rejected_rows"]] == [25, 26, 27]
    assert (project / "data/quarantine" / f"{refused.name}.csv").exists()
    assert intake.table().count("\n") == 3 and "cash" not in intake.table()

    status = Repo(str(project)).status(targets=[str(project / "dvc.yaml")])
    assert [*status] == ["prepare_spam"]
    assert {step.name: step.after for step in plan(project)} == {
        "prepare_spam": (),
        "prepare_instructions": (),
    }
    assert [stale.name for stale in stale_stages(project)] == ["prepare_spam"]
    mend(project, pytest.fail)
    toy.run(project, *DVC, "repro", "-q")
    after = read_splits(project / "data/prepared/spam", SPLITS)
    assert (after["val"], after["test"]) == (before["val"], before["test"])
    for split in ("train", "gate"):
        added = {row["text"] for row in taken.accepted if row["split"] == split}
        assert {row["text"] for row in after[split]} == added | {row["text"] for row in before[split]}
    assert Repo(str(project)).status() == {}
    ignored = toy.run(project, "git", "status", "--porcelain").stdout.split()
    assert sorted(ignored) == ["??", "M", f"data/labelled/{name}.jsonl.dvc", "dvc.lock"]

    toy.run(project, "git", "add", "-A")
    toy.run(project, "git", *AUTHOR, "commit", "-qm", "new labels")
    toy.run(project, *DVC, "remote", "add", "-q", "-d", "here", str(tmp_path / "remote"))
    toy.run(project, *DVC, "push", "-q")
    clone = tmp_path / "clone"
    toy.run(tmp_path, "git", "clone", "-q", str(project), str(clone))
    drop(clone, "more.jsonl", ("anything", "ham"))
    with pytest.raises(
        BadInput, match=rf"1 earlier increments .* such as data/labelled/{name}\.jsonl\.dvc; .*dvc pull"
    ):
        take_in(clone)
    shutil.copy(project / ".dvc/config", clone / ".dvc/config")
    toy.run(clone, *DVC, "pull", "-q")
    assert Repo(str(clone)).status() == {}
    (clone / "data/inbox/more.jsonl").write_bytes(kept)
    lock = content(clone / "data/labelled")
    (again,) = take_in(clone).outcomes
    assert again.repeated and f"taken in before, as {name}.jsonl" in again.reason
    assert content(clone / "data/labelled") == lock and waiting(clone) == ["README.md"]


@pytest.mark.usefixtures("quick_dvc")
def test_a_file_that_comes_twice_under_another_name_adds_nothing(project: Path) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        drop(project, name, *NEW)
    first, second = take_in(project).outcomes
    assert len(first.accepted) == 24 and second.repeated and not second.accepted
    state = content(project / "data/labelled")
    drop(project, "c.jsonl", *NEW)
    drop(project, "d.jsonl", *reversed(NEW))  # other bytes, the same rows
    third, fourth = take_in(project).outcomes
    assert third.repeated and fourth.repeated and "no row is new (24 duplicates" in fourth.reason
    assert content(project / "data/labelled") == state and waiting(project) == ["README.md"]


def test_a_dry_run_changes_nothing(project: Path) -> None:
    drop(project, "a.jsonl", *NEW)
    before = content(project / "data")
    intake = take_in(project, dry_run=True)
    assert sum(intake.accepted.values()) == 24 and intake.recorded == ()
    assert content(project / "data") == before | {"state/inbox.lock": b""}


BAD = {
    "encoding.csv": "text,label\ncaf\xe9,ham\n".encode("latin-1"),
    "renamed.csv": b"text,klass\nhi,ham\n",
    "labels.csv": b"text,label\nhi,ok\n",
    "empty.jsonl": b"",
    "copies.jsonl": b"",  # filled with the messages of test
    "one_class.jsonl": "".join(
        json.dumps({"text": f"a{x}", "label": "ham"}) + "\n" for x in LETTERS
    ).encode(),
    "larger.csv": b"text,label\n" + b"a" * 300_000,  # the limit is lowered
    "huge.jsonl": "".join(
        json.dumps({"text": f"a{n}b", "label": "ham"}) + "\n" for n in range(5001)
    ).encode(),
}
REASONS = {
    "encoding.csv": "is not UTF-8",
    "renamed.csv": "but not label",
    "labels.csv": "found the labels 'ok' (1 row)",
    "empty.jsonl": "found no rows",
    "copies.jsonl": "16 of 16 rows would be quarantined or refused (16 copies",
    "one_class.jsonl": "1.0% to 99.0% of the rows are spam. Found: 0.0.",
    "larger.csv": "found more than 200,000 bytes",
    "huge.jsonl": "There are 1 to 5,000 rows. Found: 5001.",
}


def test_bad_files_are_refused_with_their_reasons_and_nothing_else_changes(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "MAX_BYTES", 200_000)
    for name, data in BAD.items():
        (project / "data/inbox" / name).write_bytes(data)
    shutil.copy(project / "data/prepared/spam/test.jsonl", project / "data/inbox/copies.jsonl")
    (project / "data/inbox/folder").mkdir()
    (project / "data/inbox/.half.jsonl.tmp").write_text("{")
    before = [content(project / name) for name in ("data/labelled", "data/prepared")]
    result = CliRunner().invoke(inbox.app)
    assert result.exit_code == 1  # never green
    for name, reason in REASONS.items():
        assert any(name in line and reason in line for line in result.stdout.splitlines()), name
    assert [content(project / name) for name in ("data/labelled", "data/prepared")] == before
    assert waiting(project) == [".half.jsonl.tmp", "README.md", "folder"]
    kept = [json.loads(path.read_text()) for path in (project / "data/quarantine").glob("*.reasons.json")]
    assert {one["file"] for one in kept} == set(BAD) and all(one["nothing_accepted"] for one in kept)
    assert len(list((project / "data/quarantine").iterdir())) == 2 * len(BAD)
    assert Repo(str(project)).status() == {}
    assert "Nothing waits" in CliRunner().invoke(inbox.app).stdout


def test_the_whole_inbox_is_refused_without_prepared_data_or_with_the_book_s_splits(project: Path) -> None:
    drop(project, "a.jsonl", *NEW)
    params = (project / "params.yaml").read_text()
    book = yaml.safe_load(params) | {"spam": {"protocol": "book"}}
    (project / "params.yaml").write_text(yaml.safe_dump(book))
    with pytest.raises(BadInput, match=r"spam\.protocol is book"):
        take_in(project)
    (project / "params.yaml").write_text(params)
    shutil.rmtree(project / "data/prepared/spam")
    result = CliRunner().invoke(inbox.app)
    assert (
        result.exit_code == 1 and "does not exist" in result.stderr and len(result.stderr.splitlines()) == 1
    )
    assert waiting(project) == ["README.md", "a.jsonl"]


def test_two_at_once_are_kept_apart(project: Path) -> None:
    drop(project, "a.jsonl", *NEW)
    (project / "data/state").mkdir()
    with FileLock(project / inbox.LOCK), pytest.raises(BadInput, match="another process is taking in"):
        take_in(project)
    assert waiting(project) == ["README.md", "a.jsonl"]


class Killed(BaseException):
    """Ends a call as a kill does."""


STEPS = ("write_json", "write_jsonl", "_record", "_is_recorded", "os.replace", "_move")


@pytest.mark.usefixtures("quick_dvc")
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_after_a_kill_the_next_call_finishes_the_work(
    project: Path, tmp_path: Path, step: str, after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(root: Path) -> None:
        drop(root, "a.jsonl", *NEW, ("red \x1b[31m", "spam"))
        drop(root, "b.jsonl", ("one more", "ham"))
        drop(root, "c.jsonl", ("bad", "ok"))

    whole = Path(shutil.copytree(project, tmp_path / "whole", symlinks=True))
    fill(whole)
    take_in(whole)

    fill(project)
    owner, name = (inbox.os, "replace") if step == "os.replace" else (inbox, step)
    real, calls = getattr(owner, name), []

    def once(*arguments: Any, **more: Any) -> Any:
        calls.append(step)
        if len(calls) == 1 and not after:
            raise Killed
        result = real(*arguments, **more)
        if len(calls) == 1:
            raise Killed
        return result

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, once)
        with pytest.raises(Killed):
            take_in(project)
    take_in(project)
    for folder in ("labelled", "quarantine", "inbox"):
        assert content(project / "data" / folder) == content(whole / "data" / folder)


@pytest.mark.usefixtures("quick_dvc")
def test_what_a_killed_dvc_left_is_recorded_again(project: Path) -> None:
    drop(project, "a.jsonl", *NEW)
    (name,) = take_in(project).recorded
    recorded = project / f"data/labelled/{name}.jsonl.dvc"
    text = recorded.read_text()
    for damage in (b"", b"outs:\n", b"\xff\0", None):
        recorded.unlink() if damage is None else recorded.write_bytes(damage)
        assert take_in(project) == Intake((), (name,))
        assert recorded.read_text() == text
    # half of an increment, with its source still in the inbox
    increment = recorded.with_suffix("")
    rows = increment.read_bytes()
    recorded.unlink()
    increment.write_bytes(rows[:100])
    drop(project, "a.jsonl", *NEW)
    assert take_in(project).recorded == (name,)
    assert (increment.read_bytes(), recorded.read_text()) == (rows, text)


@pytest.mark.usefixtures("quick_dvc")
def test_a_kill_while_half_an_increment_is_discarded(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drop(project, "a.jsonl", *NEW)
    (name,) = take_in(project).recorded
    (project / f"data/labelled/{name}.jsonl.dvc").write_text("")
    drop(project, "a.jsonl", *NEW)
    unlink = Path.unlink

    def once(path: Path, missing_ok: bool = False) -> None:
        unlink(path, missing_ok)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", once)
        with pytest.raises(Killed):
            take_in(project)
    assert take_in(project).recorded == (name,)


@pytest.mark.usefixtures("quick_dvc")
def test_what_cannot_be_written_is_said_and_repeated(project: Path) -> None:
    drop(project, "a.jsonl", *NEW, ("red \x1b[31m", "spam"))
    quarantine = project / "data/quarantine"
    quarantine.write_text("not a folder")
    result = CliRunner().invoke(inbox.app)
    assert (
        result.exit_code == 1 and "data/quarantine cannot be read or written (File exists)" in result.stderr
    )
    quarantine.unlink()
    assert len(take_in(project).recorded) == 1 and waiting(project) == ["README.md"]


@pytest.mark.usefixtures("quick_dvc")
def test_a_file_that_is_accepted_with_other_limits_leaves_quarantine(project: Path) -> None:
    params = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(params.replace("max_rows: 5000", "max_rows: 23"))
    drop(project, "a.jsonl", *NEW)
    assert "There are 1 to 23 rows" in take_in(project).refused[0]
    (project / "params.yaml").write_text(params)
    drop(project, "a.jsonl", *NEW)
    assert sum(take_in(project).accepted.values()) == len(NEW)
    assert list((project / "data/quarantine").iterdir()) == [] and waiting(project) == ["README.md"]


@pytest.mark.usefixtures("quick_dvc")
def test_a_file_that_changes_meanwhile_stays_in_the_inbox(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = drop(project, "a.jsonl", *NEW)
    record = inbox._record

    def slow(folders: inbox.Folders) -> tuple[str, ...]:
        drop(project, "a.jsonl", *NEW, ("one more", "ham"))
        return record(folders)

    with monkeypatch.context() as patched:
        patched.setattr(inbox, "_record", slow)
        take_in(project)
    assert path.exists()
    (rest,) = take_in(project).outcomes
    assert [row["text"] for row in rest.accepted] == ["one more"] and waiting(project) == ["README.md"]
    assert len(read_jsonl(project / f"data/labelled/{rest.name}.jsonl")) == 1


def test_the_table_has_one_line_per_file() -> None:
    bad = Outcome("a|b.csv", "0" * 64, 3, reason="two\nlines")
    shown = Intake((bad,)).table().splitlines()
    assert shown[2] == "| a/b.csv | 3 | 0 | 0 | 0 | 0 | two lines |"


def test_the_folders_are_those_of_dvc_yaml_and_of_the_command_line() -> None:
    import inspect

    folders = inbox.Folders(toy.ROOT)
    (stage,) = [stanza for stanza in stanzas() if stanza.name == "prepare_spam"]
    found = [folders.raw, folders.labelled, folders.corpus]
    assert [path.relative_to(toy.ROOT).as_posix() for path in found] == stage.inputs[:3]
    assert [folders.spam.relative_to(toy.ROOT).as_posix()] == stage.outputs
    assert inspect.signature(label).parameters["inbox"].default == inbox.INBOX
    assert folders.labelled == toy.ROOT / inbox.INBOX.parent / "labelled"
    assert os.path.commonpath([inbox.INBOX, inbox.QUARANTINE]) == "data"
