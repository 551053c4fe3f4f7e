"""Aliases and ledger move together, on a real store; manipulations are found, and killed processes are finished."""

import random
import shutil
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from groundup.errors import BadInput
from groundup.tracking import connect, mirror, registry
from groundup.tracking.champions import Champions, Origin, digest
from tests.campaigns import ledger as campaign

ORIGIN = Origin("anna", "abc", "def")


@pytest.fixture
def model(tmp_path: Path) -> str:
    return tmp_path.name


@pytest.fixture
def champions(tmp_path: Path, model: str) -> Champions:
    """A project with four versions of one model, none of which is champion."""
    store = connect(tmp_path)
    campaign.add_model(store, tmp_path, model, versions=4)
    return Champions(store)


def aliases(champions: Champions, model: str) -> dict[str, str]:
    return registry.aliases(registry.get(champions.connection, model))


def test_promotion_rollback_and_challengers_are_written_down(champions: Champions, model: str) -> None:
    first = champions.promote(model, "1", ORIGIN, expected=None, reasons=["the first"])
    assert (first.before, first.after, first.actor, first.revision, first.lock) == (
        None,
        "1",
        "anna",
        "abc",
        "def",
    )
    assert first.run_id == registry.versions(champions.connection, model)[-1].run_id
    numbers = {"mcc": {"candidate": 0.9, "champion": 0.8}}
    champions.promote(model, "2", ORIGIN, expected="1", numbers=numbers, reasons=["better"])
    champions.record(model, "3", "kept", ORIGIN, expected="2", numbers={}, reasons=["worse"])
    assert aliases(champions, model) == {"champion": "2", "previous": "1", "challenger": "3"}
    back = champions.rollback(model, ORIGIN, expected="2", reasons=["complaints"])
    assert (back.action, back.before, back.after, back.reasons) == ("rolled_back", "2", "1", ("complaints",))
    assert aliases(champions, model) == {"champion": "1", "challenger": "3"}
    champions.promote(model, "3", ORIGIN, expected="1")
    assert aliases(champions, model) == {"champion": "3", "previous": "1"}
    entries = champions.ledger.entries()
    assert [e.action for e in entries] == ["promoted", "promoted", "kept", "rolled_back", "promoted"]
    assert entries[1].numbers == numbers
    assert champions.problems() == []


def test_moves_that_cannot_be_made_leave_everything_alone(champions: Champions, model: str) -> None:
    champions.promote(model, "1", ORIGIN, expected=None)
    before = champions.ledger.path.read_bytes()
    refused = [
        (
            lambda: champions.promote("no-such-model", "1", ORIGIN, expected=None),
            "no registered model 'no-such-model'",
        ),
        (
            lambda: champions.promote(model, "9", ORIGIN, expected="1"),
            "has no version 9; expected one of 1, 2, 3, 4",
        ),
        (lambda: champions.promote(model, "1", ORIGIN, expected="1"), "is the champion already"),
        (lambda: champions.promote(model, "2", ORIGIN, expected=None), "is now version 1; expected none"),
        (lambda: champions.rollback(model, ORIGIN, expected="1"), "no previous champion to return to"),
        (lambda: champions.rollback(model, ORIGIN, expected="1", to="9"), "has no version 9"),
    ]
    for call, said in refused:
        with pytest.raises(BadInput, match=said):
            call()
    assert champions.ledger.path.read_bytes() == before
    assert aliases(champions, model) == {"champion": "1"}


def test_one_of_two_at_the_same_time_wins(champions: Champions, model: str) -> None:
    champions.promote(model, "1", ORIGIN, expected=None)
    results: list[Any] = []

    def promote(version: str) -> None:
        try:
            own = Champions(champions.connection)
            results.append(own.promote(model, version, ORIGIN, expected="1").after)
        except BadInput as error:
            results.append(str(error))

    threads = [threading.Thread(target=promote, args=(version,)) for version in "234"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [won] = [result for result in results if result in ("2", "3", "4")]
    assert sum(f"is now version {won}; expected version 1" in result for result in results) == 2
    assert aliases(champions, model) == {"champion": won, "previous": "1"}
    assert len(champions.ledger.entries()) == 2


def test_a_champion_that_was_set_by_hand_is_adopted(
    champions: Champions, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    client = champions.connection.client
    client.set_registered_model_alias(model, "champion", "2")  # before there was a ledger
    champions.promote(model, "3", ORIGIN, expected="2")
    assert (
        f"{model}: champion version 2 was set by hand, or before there was a ledger"
        in capsys.readouterr().err
    )
    client.set_registered_model_alias(model, "champion", "4")
    assert "version 4 in MLflow and version 3 in the ledger: it was moved by hand" in champions.problems()[0]
    adopted = champions.reconcile(ORIGIN)[-1]
    assert (adopted.action, adopted.before, adopted.after) == ("adopted", "3", "4")
    assert "it was moved by hand; recorded in the ledger" in capsys.readouterr().err
    assert aliases(champions, model) == {"champion": "4", "previous": "3"}
    client.delete_model_version(model, "4")  # with its alias
    champions.rollback(model, ORIGIN, expected=None)
    assert aliases(champions, model) == {"champion": "3", "previous": "2"}
    assert [e.action for e in champions.ledger.entries()] == [
        "adopted",
        "promoted",
        "adopted",
        "adopted",
        "rolled_back",
    ]
    assert champions.problems() == []


def test_a_lost_end_and_a_lost_file_are_found_and_restored(champions: Champions, model: str) -> None:
    champions.promote(model, "1", ORIGIN, expected=None, reasons=["x" * 9000])  # several tags
    for version in "234":
        champions.promote(model, version, ORIGIN, expected=str(int(version) - 1))
    path = champions.ledger.path
    whole = path.read_bytes()
    for kept in (2, 0):
        path.write_bytes(b"".join(whole.splitlines(keepends=True)[:kept]))
        assert f"entry {kept + 1} of the ledger is missing" in champions.problems(model)[0]
        with pytest.raises(BadInput, match=f"entry {kept + 1} .* is missing.*groundup models --restore"):
            champions.rollback(model, ORIGIN, expected="4")
        champions.restore(ORIGIN, model)
        assert path.read_bytes() == whole and champions.problems() == []
    path.unlink()
    champions.restore(ORIGIN, model)
    assert path.read_bytes() == whole


def test_a_copy_that_lost_entries_is_found_and_restored(champions: Champions, model: str) -> None:
    for version in "123":
        champions.promote(model, version, ORIGIN, expected=None if version == "1" else str(int(version) - 1))
    client = champions.connection.client
    tags = dict(registry.get(champions.connection, model).tags)
    for lost in (["ledger.000002.0"], ["ledger.head"], ["ledger.000001.0", "ledger.head"], []):
        for key in lost:
            client.delete_registered_model_tag(model, key)
        if not lost:
            client.set_registered_model_tag(model, "ledger.head", '{"number": "three"}')
        assert champions.problems() != []
        with pytest.raises(BadInput, match="--restore"):
            champions.rollback(model, ORIGIN, expected="3")
        champions.restore(ORIGIN)
        assert registry.get(champions.connection, model).tags == tags
        assert champions.problems() == []


def test_a_check_waits_for_a_promotion_that_is_under_way(
    champions: Champions, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[list[str]] = []
    check = threading.Thread(target=lambda: found.append(Champions(champions.connection).problems()))
    write = mirror.write

    def begin_check_and_write(*arguments: Any) -> None:
        check.start()
        check.join(0.3)
        write(*arguments)

    monkeypatch.setattr(mirror, "write", begin_check_and_write)
    champions.promote(model, "1", ORIGIN, expected=None)
    check.join()
    assert found == [[]]


def test_two_clones_with_one_store_notice_each_other(
    champions: Champions, model: str, tmp_path: Path
) -> None:
    champions.promote(model, "1", ORIGIN, expected=None)
    clone = tmp_path / "clone"
    shutil.copytree(tmp_path / "reports", clone / "reports")
    other = Champions(connect(clone))
    champions.promote(model, "2", ORIGIN, expected="1")
    with pytest.raises(BadInput, match=r"entry 2 of the ledger is missing.*another clone.*git pull"):
        other.promote(model, "3", ORIGIN, expected="2")
    other.restore(ORIGIN)
    other.promote(model, "3", ORIGIN, expected="2")
    with pytest.raises(BadInput, match="entry 3 of the ledger is missing"):
        champions.rollback(model, ORIGIN, expected="3")


def test_entries_of_another_store_are_history_only(champions: Champions, model: str, tmp_path: Path) -> None:
    """A clone has the committed ledger, but a store of its own, in which version 2 is another model."""
    champions.promote(model, "1", ORIGIN, expected=None)
    champions.promote(model, "2", ORIGIN, expected="1")
    store, root = champions.connection, tmp_path / "clone"
    store.client.delete_registered_model(model)
    shutil.copytree(tmp_path / "reports", root / "reports")
    campaign.add_model(store, tmp_path / "new", model, versions=3)
    other = Champions(connect(root))
    assert len(other.reconcile(ORIGIN, model)) == 2 and aliases(other, model) == {}
    other.promote(model, "3", ORIGIN, expected=None)
    assert aliases(other, model) == {"champion": "3"}
    assert other.problems() == []


@pytest.mark.parametrize("writes", range(5))
def test_a_promotion_that_was_killed_is_finished_by_the_next_call(
    champions: Champions, model: str, writes: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Promoting makes five writes to the registry: two aliases, entry and head of the copy, and one removed alias."""
    champions.promote(model, "1", ORIGIN, expected=None)
    champions.promote(model, "2", ORIGIN, expected="1")
    champions.record(model, "3", "kept", ORIGIN, expected="2", numbers={}, reasons=[])
    root, uri = champions.connection.root, champions.connection.uri
    process = campaign.spawn(campaign.work_until, root, uri, model, "3", writes)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert "is not carried out" in champions.problems()[0]
    assert campaign.unfinished(champions)
    with pytest.raises(BadInput, match="is now version 3; expected version 2"):  # after finishing
        champions.promote(model, "4", ORIGIN, expected="2")
    assert "was written by a process that was killed; done" in capsys.readouterr().err
    assert aliases(champions, model) == {"champion": "3", "previous": "2"}
    assert campaign.disagreements(champions, [model]) == []


def test_random_manipulations_are_found(champions: Champions, model: str, tmp_path: Path) -> None:
    campaign.add_model(champions.connection, tmp_path, f"{model}-other", versions=3)
    rng = random.Random(3)
    for number in range(9):
        campaign.step(champions, (model, f"{model}-other")[number % 2], rng)
    found = campaign.manipulate(champions, 24, rng)
    assert [name for name, problem in found if not problem] == []


def test_the_digest_of_a_lock_file(tmp_path: Path) -> None:
    (tmp_path / "dvc.lock").write_text("schema: '2.0'\n")
    # sha256sum dvc.lock
    found = digest(tmp_path / "dvc.lock")
    assert found == "cb92c0a5a38130a17fd2396c64d38feb7ae4216cc881aa98830038057fa54145"
    assert digest(tmp_path / "nothing") == ""
