"""Retraining compares candidate and champion, promotes the better one, and always writes a summary."""

import hashlib
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from groundup import tracking
from groundup.datasets.inbox import Outcome
from groundup.errors import BadInput
from groundup.promotion.verdict import Verdict, decide_exact_match
from groundup.text.jsonl import read_jsonl
from groundup.tracking import registry
from groundup.tracking.champions import Champions, Origin
from pipelines import retrain
from pipelines.contests import Contest, Entrant, Match
from pipelines.flow import alone
from pipelines.inbox import Intake
from pipelines.lineage import recorded_keys
from pipelines.params import load_params
from tests.pipelines import toy

pytestmark = pytest.mark.usefixtures("prefect_server")

PARAMS: Any = SimpleNamespace(retrain=load_params("main", toy.ROOT).retrain)

# `download@toy` fetches, `prepare` has the gate split, `finetune` makes the candidates, `evaluate` scores the test set
DVC_YAML = """\
stages:
  download:
    foreach: {toy: 1}
    do:
      cmd: python work.py source.txt raw.txt
      deps: [work.py]
      outs: [raw.txt]
  prepare:
    cmd: python work.py raw.txt prepared/gate.jsonl
    deps: [raw.txt]
    outs: [prepared]
  finetune:
    cmd: python work.py prepared/gate.jsonl model.txt
    deps: [prepared]
    outs: [model.txt]
  evaluate:
    cmd: python work.py model.txt scores.txt
    deps: [model.txt]
    outs: [scores.txt]
"""


def load(folder: Path) -> Entrant:
    """Return an entrant whose "weights" are the share of right answers."""
    text = (folder / "score").read_text()
    if text == "old":
        raise BadInput("a format of long ago")
    return Entrant(float(text), 1, ())  # type: ignore[arg-type]  # instead of a checkpoint


def judge(rows: Any, match: Match) -> Verdict:
    """Compare as judge_instructions does; the rows must be the current ones."""
    assert rows == read_jsonl(Path.cwd() / "source.txt")
    right = match.answers(lambda share: np.arange(1000) < share * 1000)  # type: ignore[operator]
    return decide_exact_match(*right, {}, match.look(0))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy project after its first run; tests work on copies."""
    folder = toy.make(tmp_path_factory.mktemp("retrain") / "toy", DVC_YAML)
    toy.run(folder, "python", "-m", "dvc", "repro", "-q")
    return folder


@pytest.fixture
def project(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[tuple[Path, Any, Contest]]:
    """A toy project that ran once, a tracking store and a contest for one model."""
    folder = Path(shutil.copytree(built, tmp_path / "toy"))
    for name, value in toy.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", request.node.nodeid)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(retrain, "load_params", lambda *_: PARAMS)
    monkeypatch.setattr(retrain, "take_in", lambda root: Intake())  # the toy project has no inbox
    monkeypatch.setattr(Entrant, "load", load)
    contest = Contest(tmp_path.name, "finetune", "prepare", judge)
    monkeypatch.setattr(retrain, "CONTESTS", (contest,))
    yield folder, tracking.connect(folder), contest


def add_version(store: Any, folder: Path, model: str, score: str, stage_key: str) -> str:
    """Register a version whose artifacts contain a checkpoint folder, as `register` does, but without the model."""
    from mlflow.exceptions import MlflowException

    source = folder.parent / f"model-{score}-{stage_key}"
    (source / "artifacts" / "checkpoint").mkdir(parents=True)
    (source / "artifacts" / "checkpoint" / "score").write_text(score)
    with suppress(MlflowException):  # is there already
        store.client.create_registered_model(model)
    run = store.client.create_run(store.experiment_id)
    made = store.client.create_model_version(
        model, source.as_uri(), run.info.run_id, tags={"stage_key": stage_key}
    )
    return str(made.version)


def make_champion(store: Any, model: str, version: str) -> None:
    store.client.set_registered_model_alias(model, "champion", version)


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
    row = retrain.compare.fn(contest, folder, PARAMS)
    assert words in row
    found = registry.champion(store, contest.model)
    assert found is not None and found.version == winner
    written = Champions(store).ledger.entries()
    assert [entry.action for entry in written] == entries
    assert {entry.actor for entry in written} == {"flow retrain"}
    lock = hashlib.sha256((folder / "dvc.lock").read_bytes()).hexdigest()
    assert {entry.lock for entry in written} == {lock}


@pytest.mark.parametrize(
    ("champion", "candidate", "why"),
    [
        (
            "0.90",
            None,
            "the output of finetune has no registered version.*dvc repro --force --single-item finetune",
        ),
        (
            "old",
            "0.95",
            r"this code cannot test the champion \(a format of long ago\).*groundup promote \S+ 2",
        ),
    ],
)
def test_a_model_that_cannot_be_compared_fails_the_flow_and_the_others_are_compared(
    project: Any, monkeypatch: pytest.MonkeyPatch, champion: str, candidate: str | None, why: str
) -> None:
    folder, store, contest = project
    other, made = replace(contest, model=f"{contest.model}-2"), recorded_keys(folder)["finetune"]
    monkeypatch.setattr(retrain, "CONTESTS", (contest, other))
    make_champion(store, contest.model, add_version(store, folder, contest.model, champion, "earlier"))
    if candidate:
        add_version(store, folder, contest.model, candidate, made)
    add_version(store, folder, other.model, "0.9", made)
    state = retrain.retrain(return_state=True)
    assert state.is_failed() and re.fullmatch(f"{contest.model}: {why}.*", str(state.message))
    assert f"| {contest.model} |  |  | failed: " in summary()
    assert f"| {other.model} | none | 1 | promoted: there is no champion yet" in summary()
    found = registry.champion(store, contest.model)
    assert found is not None and found.version == "1"


def test_a_champion_without_a_record_of_its_training_rows_is_named(
    project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, store, contest = project
    make_champion(store, contest.model, add_version(store, folder, contest.model, "0.90", "earlier"))
    add_version(store, folder, contest.model, "0.85", recorded_keys(folder)["finetune"])
    words = "no record says which rows the champion was trained on"
    retrain.compare.fn(contest, folder, PARAMS)
    monkeypatch.setattr(Entrant, "load", lambda path: replace(load(path), trained_on={"a"}))
    retrain.compare.fn(contest, folder, PARAMS)
    first, second = (entry for entry in Champions(store).ledger.entries() if entry.action == "kept")
    assert words in first.reasons[-1] and words not in second.reasons[-1]


def test_two_retrainings_do_not_run_at_once(project: Any) -> None:
    folder, store, contest = project
    add_version(store, folder, contest.model, "0.9", recorded_keys(folder)["finetune"])
    with alone("retrain", folder):
        state = retrain.retrain(return_state=True)
    assert state.is_failed() and "another run of retrain is working in" in str(state.message)
    assert registry.champion(store, contest.model) is None


def test_every_look_spends_of_the_budget_of_its_model(project: Any) -> None:
    folder, store, contest = project
    make_champion(store, contest.model, add_version(store, folder, contest.model, "0.90", "earlier"))
    add_version(store, folder, contest.model, "0.85", recorded_keys(folder)["finetune"])
    stricter = replace(PARAMS.retrain, gate=replace(PARAMS.retrain.gate, veto_level=0.02))
    for params in (PARAMS, SimpleNamespace(retrain=stricter)):
        assert "kept: no better" in retrain.compare.fn(contest, folder, params)
    written = Champions(store).ledger.entries()
    spent = retrain.spendings(written, contest.model)
    assert [spending.level for spending in spent] == [
        entry.numbers["level"] for entry in written if entry.action == "kept"
    ]
    assert len(spent) == 2 and spent[0].level > 0
    assert spent[0].time.isoformat(timespec="milliseconds") == written[1].time
    assert retrain.spendings(written, "another model") == []


def test_a_comparison_is_repeated_only_with_other_rows_or_rules(project: Any) -> None:
    folder, store, contest = project
    make_champion(store, contest.model, add_version(store, folder, contest.model, "0.90", "earlier"))
    add_version(store, folder, contest.model, "0.85", recorded_keys(folder)["finetune"])
    assert "kept: no better" in retrain.compare.fn(contest, folder, PARAMS)
    asked_again = replace(contest, judge=lambda *_: pytest.fail("judged again"))
    said = retrain.compare.fn(asked_again, folder, PARAMS)
    assert "kept: compared before on the same rows, see entry 2 of the ledger" in said
    assert len(Champions(store).ledger.entries()) == 2
    with open(folder / "prepared/gate.jsonl", "a") as gate:
        gate.write('{"score": 0.6}\n')
    (folder / "source.txt").write_text((folder / "prepared/gate.jsonl").read_text())
    assert "kept: no better" in retrain.compare.fn(contest, folder, PARAMS)
    assert len(Champions(store).ledger.entries()) == 3


def test_a_challenger_that_was_too_slow_or_moved_back_by_hand_is_compared_again(project: Any) -> None:
    folder, store, contest = project
    make_champion(store, contest.model, add_version(store, folder, contest.model, "0.90", "earlier"))
    add_version(store, folder, contest.model, "0.95", recorded_keys(folder)["finetune"])
    numbers = {"level": 1.0, "ratios": {"time per answer": 2.0, "size": 1.0}}
    slow = replace(
        contest, judge=lambda *_: Verdict("kept", ("its time per answer is too long",), numbers, 0.0)
    )
    retrain.compare.fn(slow, folder, PARAMS)
    assert "promoted: better" in retrain.compare.fn(contest, folder, PARAMS)
    make_champion(store, contest.model, "1")
    assert "promoted: better" in retrain.compare.fn(contest, folder, PARAMS)
    found = registry.champion(store, contest.model)
    assert found is not None and found.version == "2"


def test_a_version_that_was_rolled_back_does_not_come_back_by_itself(project: Any) -> None:
    folder, store, contest = project
    make_champion(store, contest.model, add_version(store, folder, contest.model, "0.90", "earlier"))
    better = add_version(store, folder, contest.model, "0.95", recorded_keys(folder)["finetune"])
    assert "promoted: better" in retrain.compare.fn(contest, folder, PARAMS)
    Champions(store).rollback(contest.model, Origin("test", "", ""), expected=better)
    assert "kept: a rollback withdrew it" in retrain.compare.fn(contest, folder, PARAMS)
    # forced: the same stage ran again
    add_version(store, folder, contest.model, "0.96", recorded_keys(folder)["finetune"])
    assert "kept: a rollback withdrew it" in retrain.compare.fn(contest, folder, PARAMS)
    found = registry.champion(store, contest.model)
    assert found is not None and found.version == "1"


def test_nothing_is_decided_without_gate_rows(project: Any) -> None:
    folder, store, contest = project
    contest = replace(contest, judge=lambda *_: pytest.fail("nothing to test"))
    add_version(store, folder, contest.model, "0.9", recorded_keys(folder)["finetune"])
    (folder / "prepared/gate.jsonl").unlink()
    assert "undecided: the gate split of prepare has no rows" in retrain.compare.fn(contest, folder, PARAMS)
    assert registry.champion(store, contest.model) is None


def test_a_champion_is_not_compared_with_itself(project: Any) -> None:
    folder, store, contest = project
    contest = replace(contest, judge=lambda *_: pytest.fail("nothing to test"))
    version = add_version(store, folder, contest.model, "0.9", recorded_keys(folder)["finetune"])
    make_champion(store, contest.model, version)
    assert "kept: no new candidate" in retrain.compare.fn(contest, folder, PARAMS)


def test_a_failing_store_does_not_replace_the_champion(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, store, contest = project
    make_champion(store, contest.model, add_version(store, folder, contest.model, "0.9", "earlier"))
    add_version(store, folder, contest.model, "0.95", recorded_keys(folder)["finetune"])

    def unreachable(*_: Any) -> Path:
        raise ConnectionError("nobody answers")

    monkeypatch.setattr(registry, "fetch_checkpoint", unreachable)
    with pytest.raises(BadInput, match="cannot be used"):
        retrain.compare.fn(contest, folder, PARAMS)


def summary() -> str:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        wanted = {"sort": "CREATED_DESC", "artifacts": {"key": {"any_": ["retraining-summary"]}}}
        return str(client.request("POST", "/artifacts/filter", json=wanted).json()[0]["data"])


def test_nothing_new_then_new_data(project: Any) -> None:
    folder, store, contest = project
    add_version(store, folder, contest.model, "0.9", recorded_keys(folder)["finetune"])
    state = retrain.retrain(return_state=True)
    assert state.is_completed() and state.message == "1 of 1 models promoted"
    assert "The data has not changed; nothing had to run." in summary()
    assert "promoted: there is no champion yet" in summary()

    (folder / "source.txt").write_text('{"score": 0.7}\n')  # what the download finds from now on
    state = retrain.retrain(return_state=True)
    assert state.is_failed()  # the toy's finetune registers no model
    assert (folder / "model.txt").read_text() == '{"score": 0.7}\n'
    assert "To run: finetune, prepare." in summary() or "To run: prepare." in summary()
    assert "failed: the output of finetune has no registered version" in summary()

    runs = store.client.search_runs([store.experiment_id], "tags.kind = 'pipeline'")
    assert [run.data.tags["pipeline"] for run in runs] == ["retrain", "retrain"]  # one for each retraining
    parent = runs[0].info.run_id
    asked = [(folder / f"{stage}.environment").read_text() for stage in ("download", "finetune")]
    assert asked == [parent, parent]


def test_the_test_set_is_scored_after_a_promotion_only(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, store, contest = project
    make_champion(store, contest.model, add_version(store, folder, contest.model, "0.90", "earlier"))
    run_pipeline, coming = retrain.pipeline, {"0.6": "0.85", "0.7": "0.95"}

    def train(*args: Any, **how: Any) -> list[str]:
        """Register the version that the toy's finetune does not register."""
        lines, made = run_pipeline(*args, **how), recorded_keys(folder)["finetune"]
        if registry.made_by(store, contest.model, made) is None:
            add_version(store, folder, contest.model, coming[data], made)
        return lines

    monkeypatch.setattr(retrain, "pipeline", train)
    for data, scored in (("0.6", "0.5"), ("0.7", "0.7")):
        (folder / "source.txt").write_text(f'{{"score": {data}}}\n')
        assert retrain.retrain(return_state=True).is_completed()
        assert (folder / "model.txt").read_text() == f'{{"score": {data}}}\n'
        assert (folder / "scores.txt").read_text() == f'{{"score": {scored}}}\n'
    assert f"The test set is scored: {contest.model} promoted." in summary()


def test_a_promotion_that_was_not_scored_is_scored_by_the_next_run(project: Any) -> None:
    folder, store, contest = project
    (folder / "source.txt").write_text('{"score": 0.7}\n')
    toy.run(folder, "python", "-m", "dvc", "repro", "-q", "-f", "finetune")
    version = add_version(store, folder, contest.model, "0.9", recorded_keys(folder)["finetune"])
    make_champion(store, contest.model, version)
    assert retrain.unscored(folder) == [contest.model]
    (folder / "source.txt").write_text(
        '{"score": 0.8}\n'
    )  # replaces the promoted model's files, but not before
    retrain.retrain(return_state=True)
    assert (folder / "model.txt").read_text() == '{"score": 0.8}\n'
    assert (folder / "scores.txt").read_text() == '{"score": 0.7}\n'
    assert retrain.unscored(folder) == []


def test_the_first_run_in_a_clone_has_no_files(project: Any) -> None:
    folder, store, contest = project
    version = add_version(store, folder, contest.model, "0.9", recorded_keys(folder)["finetune"])
    make_champion(store, contest.model, version)
    for name in ("raw.txt", "model.txt", "scores.txt", "prepared/gate.jsonl"):
        (folder / name).unlink()
    state = retrain.retrain(return_state=True)
    assert state.is_completed(), state.message
    assert (folder / "model.txt").read_text() == '{"score": 0.5}\n'


def test_refused_labels_end_the_flow_before_anything_is_trained(
    project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, store, contest = project
    make_champion(store, contest.model, add_version(store, folder, contest.model, "0.5", "earlier"))
    add_version(store, folder, contest.model, "0.9", recorded_keys(folder)["finetune"])
    (folder / "source.txt").write_text('{"score": 0.7}\n')
    refused = Outcome("new.csv", "0" * 64, 0, reason="one file is not readable.")
    monkeypatch.setattr(retrain, "take_in", lambda root: Intake((refused,)))
    state = retrain.retrain(return_state=True)
    assert state.is_failed()
    assert (
        "**Failed**: new labels were refused, and nothing was trained: one file is not readable." in summary()
    )
    assert (folder / "model.txt").read_text() == '{"score": 0.5}\n'
    found = registry.champion(store, contest.model)
    assert found is not None and found.version == "1"


def test_failed_download_leaves_the_data_and_a_summary(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _, _ = project
    monkeypatch.setenv("TOY_FAIL", "download")
    shown = CliRunner().invoke(retrain.app, ["run"])
    assert shown.exit_code == 1
    assert "the data could not be refreshed: stage download@toy failed: as told" in shown.output
    assert (folder / "raw.txt").read_text() == '{"score": 0.5}\n'
    assert "**Failed**: the data could not be refreshed" in summary()


def test_failed_pipeline_ends_in_a_summary(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _, _ = project
    (folder / "source.txt").write_text('{"score": 0.7}\n')
    monkeypatch.setenv("TOY_FAIL", "finetune")
    state = retrain.retrain(return_state=True)
    assert state.is_failed()
    assert "**Failed**: the pipeline did not finish: stage finetune failed: as told" in summary()


def test_an_error_of_dvc_or_mlflow_ends_in_a_summary(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.exceptions import MlflowException

    folder, store, _ = project

    def refuses(*_: object) -> None:
        raise MlflowException("the registry is closed\nsecond line")

    with monkeypatch.context() as closed:
        closed.setattr(registry, "champion", refuses)
        shown = CliRunner().invoke(retrain.app, ["run"])
    assert shown.exit_code == 1
    assert f"error: MLflow at {store.uri} cannot be used (the registry is closed); check" in shown.output
    assert "**Failed**: MLflow at" in summary()

    (folder / "dvc.yaml").write_text("stages: {left: {cmdd: true}}\n")
    shown = CliRunner().invoke(retrain.app, ["run"])
    assert shown.exit_code == 1 and "error: './dvc.yaml' validation failed" in shown.output
    assert "**Failed**: './dvc.yaml' validation failed" in summary()
