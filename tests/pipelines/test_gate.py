"""One look at the gate: who is compared, what is decided, and what the ledger has of it."""

import hashlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from groundup.errors import BadInput
from groundup.promotion.verdict import Verdict
from groundup.tracking import registry
from groundup.tracking.champions import Champions, Origin
from pipelines import gate
from pipelines.contests import Contest, Entrant
from pipelines.lineage import recorded_keys
from tests.pipelines import contested
from tests.pipelines.contested import PARAMS, add_version, load, make_champion

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy project after its first run; tests work on copies."""
    return contested.build(tmp_path_factory.mktemp("gate"))


@pytest.fixture
def project(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> tuple[Path, Any, Contest]:
    """A toy project that ran once, a tracking store and a contest for one model."""
    return contested.enter(built, tmp_path, monkeypatch, request)


@pytest.mark.parametrize(
    ("champion", "candidate", "winner", "words", "entries"),
    [
        ("0.90", "0.95", "2", "promoted: better; exact match 0.9000 -> 0.9500", ["adopted", "promoted"]),
        (
            "0.90",
            "0.85",
            "1",
            "kept: no better than the champion; exact match 0.9000 -> 0.8500",
            ["adopted", "kept"],
        ),
        ("0.90", "0.905", "1", "undecided: perhaps better: needs about", ["adopted", "undecided"]),
        (None, "0.10", "1", "promoted: there is no champion yet", ["promoted"]),
    ],
)
def test_compare(
    project: Any, champion: str | None, candidate: str, winner: str, words: str, entries: list[str]
) -> None:
    folder, store, contest = project
    if champion:
        make_champion(store, contest.model, add_version(store, folder, contest.model, champion, "earlier"))
    add_version(store, folder, contest.model, candidate, recorded_keys(folder)["finetune"])
    row = gate.compare.fn(contest, folder, PARAMS)
    assert words in row
    found = registry.champion(store, contest.model)
    assert found is not None and found.version == winner
    written = Champions(store).ledger.entries()
    assert [entry.action for entry in written] == entries
    assert {entry.actor for entry in written} == {"flow retrain"}
    lock = hashlib.sha256((folder / "dvc.lock").read_bytes()).hexdigest()
    assert {entry.lock for entry in written} == {lock}


def test_a_champion_without_a_record_of_its_training_rows_is_named(
    project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, store, contest = project
    make_champion(store, contest.model, add_version(store, folder, contest.model, "0.90", "earlier"))
    add_version(store, folder, contest.model, "0.85", recorded_keys(folder)["finetune"])
    words = "no record says which rows the champion was trained on"
    gate.compare.fn(contest, folder, PARAMS)
    monkeypatch.setattr(Entrant, "load", lambda path: replace(load(path), trained_on={"a"}))
    add_version(store, folder, contest.model, "0.86", recorded_keys(folder)["finetune"])
    gate.compare.fn(contest, folder, PARAMS)
    first, second = (entry for entry in Champions(store).ledger.entries() if entry.action == "kept")
    assert words in first.reasons[-1] and words not in second.reasons[-1]


def test_every_look_spends_of_the_budget_of_its_model(project: Any) -> None:
    folder, store, contest = project
    make_champion(store, contest.model, add_version(store, folder, contest.model, "0.90", "earlier"))
    add_version(store, folder, contest.model, "0.85", recorded_keys(folder)["finetune"])
    stricter = replace(PARAMS.retrain, gate=replace(PARAMS.retrain.gate, veto_level=0.02))
    for params in (PARAMS, SimpleNamespace(retrain=stricter)):
        assert "kept: no better" in gate.compare.fn(contest, folder, params)
    written = Champions(store).ledger.entries()
    spent = gate.spendings(written, contest.model)
    assert [spending.level for spending in spent] == [
        entry.numbers["level"] for entry in written if entry.action == "kept"
    ]
    assert len(spent) == 2 and spent[0].level > 0
    assert spent[0].time.isoformat(timespec="milliseconds") == written[1].time
    assert gate.spendings(written, "another model") == []


def test_a_comparison_is_repeated_only_with_other_rows_or_rules(project: Any) -> None:
    folder, store, contest = project
    make_champion(store, contest.model, add_version(store, folder, contest.model, "0.90", "earlier"))
    add_version(store, folder, contest.model, "0.85", recorded_keys(folder)["finetune"])
    assert "kept: no better" in gate.compare.fn(contest, folder, PARAMS)
    asked_again = replace(contest, judge=lambda *_: pytest.fail("judged again"))
    said = gate.compare.fn(asked_again, folder, PARAMS)
    assert "kept: compared before on the same rows, see entry 2 of the ledger" in said
    assert len(Champions(store).ledger.entries()) == 2
    with open(folder / "prepared/gate.jsonl", "a") as file:
        file.write('{"score": 0.6}\n')
    (folder / "source.txt").write_text((folder / "prepared/gate.jsonl").read_text())
    assert "kept: no better" in gate.compare.fn(contest, folder, PARAMS)
    assert len(Champions(store).ledger.entries()) == 3


def test_a_challenger_that_was_too_slow_or_moved_back_by_hand_is_compared_again(project: Any) -> None:
    folder, store, contest = project
    make_champion(store, contest.model, add_version(store, folder, contest.model, "0.90", "earlier"))
    add_version(store, folder, contest.model, "0.95", recorded_keys(folder)["finetune"])
    numbers = {"level": 1.0, "ratios": {"time per answer": 2.0, "size": 1.0}}
    slow = replace(
        contest, judge=lambda *_: Verdict("kept", ("its time per answer is too long",), numbers, 0.0)
    )
    gate.compare.fn(slow, folder, PARAMS)
    assert "promoted: better" in gate.compare.fn(contest, folder, PARAMS)
    make_champion(store, contest.model, "1")
    assert "promoted: better" in gate.compare.fn(contest, folder, PARAMS)
    found = registry.champion(store, contest.model)
    assert found is not None and found.version == "2"


def test_a_version_that_was_rolled_back_does_not_come_back_by_itself(project: Any) -> None:
    folder, store, contest = project
    make_champion(store, contest.model, add_version(store, folder, contest.model, "0.90", "earlier"))
    better = add_version(store, folder, contest.model, "0.95", recorded_keys(folder)["finetune"])
    assert "promoted: better" in gate.compare.fn(contest, folder, PARAMS)
    Champions(store).rollback(contest.model, Origin("test", "", ""), expected=better)
    assert "kept: a rollback withdrew it" in gate.compare.fn(contest, folder, PARAMS)
    # forced: the same stage ran again
    add_version(store, folder, contest.model, "0.96", recorded_keys(folder)["finetune"])
    assert "kept: a rollback withdrew it" in gate.compare.fn(contest, folder, PARAMS)
    found = registry.champion(store, contest.model)
    assert found is not None and found.version == "1"


def test_nothing_is_decided_without_gate_rows(project: Any) -> None:
    folder, store, contest = project
    contest = replace(contest, judge=lambda *_: pytest.fail("nothing to test"))
    add_version(store, folder, contest.model, "0.9", recorded_keys(folder)["finetune"])
    (folder / "prepared/gate.jsonl").unlink()
    assert "undecided: the gate split of prepare has no rows" in gate.compare.fn(contest, folder, PARAMS)
    assert registry.champion(store, contest.model) is None


def test_a_champion_is_not_compared_with_itself(project: Any) -> None:
    folder, store, contest = project
    contest = replace(contest, judge=lambda *_: pytest.fail("nothing to test"))
    version = add_version(store, folder, contest.model, "0.9", recorded_keys(folder)["finetune"])
    make_champion(store, contest.model, version)
    assert "kept: no new candidate" in gate.compare.fn(contest, folder, PARAMS)


def test_a_failing_store_does_not_replace_the_champion(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, store, contest = project
    make_champion(store, contest.model, add_version(store, folder, contest.model, "0.9", "earlier"))
    add_version(store, folder, contest.model, "0.95", recorded_keys(folder)["finetune"])

    def unreachable(*_: Any) -> Path:
        raise ConnectionError("nobody answers")

    monkeypatch.setattr(registry, "fetch_checkpoint", unreachable)
    with pytest.raises(BadInput, match="cannot be used"):
        gate.compare.fn(contest, folder, PARAMS)
