import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from groundup.cli.main import app
from groundup.errors import BadInput
from groundup.planning import plan
from groundup.planning.params import PlannedParams
from tests.planning.test_plan import PLAN

ROOT = Path(__file__).parents[2]


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[PlannedParams]:
    """A project in whose folder `groundup plan` is called; the params that are planned are collected."""
    found: list[PlannedParams] = []

    def planned(params: PlannedParams, *places: Any, progress: Any) -> plan.Plan:
        found.append(params)
        list(progress(["pretrain"]))
        return replace(PLAN, warnings=("the run needs 6 minutes; plan.minutes is 5",), assumed=("no corpus",))

    monkeypatch.setattr(plan, "make_plan", planned)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    (tmp_path / "params.yaml").write_text(
        (ROOT / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8"
    )
    return found


def test_a_table_with_warnings(asked: list[PlannedParams]) -> None:
    result = CliRunner().invoke(app, ["plan", "-S", "model.n_layer=5", "-S", "plan.minutes=5"])
    assert result.exit_code == 0
    assert (asked[0].model.n_layer, asked[0].plan.minutes) == (5, 5.0)
    lines = result.stdout.splitlines()
    assert lines[0] == "1,000 parameters; 10 steps, 100 tokens, 0.5 passes over the text"
    assert "pretrain                      5.0        2.00           0.01  probe" in lines
    assert "all                           6.0        2.00           0.01" in lines
    assert "held-out bits per byte: 1.70 (1.60 to 1.80), from 60 recorded runs" in lines
    assert lines[-1] == "note: no corpus"
    assert "warning: the run needs 6 minutes; plan.minutes is 5" in result.stderr


def test_strict_and_json(asked: list[PlannedParams]) -> None:
    result = CliRunner().invoke(app, ["plan", "--strict", "--json"])
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert (found["seconds"], found["memory"], found["bits"]["expected"]) == (360.0, 2_000_000_000, 1.7)
    assert [stage["name"] for stage in found["stages"]] == ["pretrain", "evaluate"]


def test_mistakes(asked: list[PlannedParams], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = CliRunner().invoke(app, ["plan", "-S", "model.layers=5"])
    assert isinstance(result.exception, BadInput)
    assert "params.yaml has no value model.layers" in str(result.exception)
    monkeypatch.chdir(tmp_path.parent)
    result = CliRunner().invoke(app, ["plan"])
    assert "has no dvc.yaml; expected the project's folder" in str(result.exception)


def test_a_folder_of_another_pipeline(
    asked: list[PlannedParams], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has a dvc.yaml and a params.yaml too; the plan is that of the project which contains it."""
    study = tmp_path / "pipelines/study"
    study.mkdir(parents=True)
    (tmp_path / ".dvc").mkdir()
    (study / "dvc.yaml").write_text("stages: {}\n")
    (study / "params.yaml").write_text("verses: {}\n")
    monkeypatch.chdir(study)
    assert CliRunner().invoke(app, ["plan", "-S", "model.n_layer=5"]).exit_code == 0
    assert asked[0].model.n_layer == 5


def test_a_plan_on_paper(monkeypatch: pytest.MonkeyPatch) -> None:
    """It needs no project; the dry run has its own test."""
    dry = {"peak": 16_000_000_000, "activations": 14_000_000_000, "recomputed": 4_000_000_000}
    monkeypatch.setattr("groundup.cli.plan._dry", lambda plan: dry)
    result = CliRunner().invoke(app, ["plan", "--depth", "12", "--cards", "8", "--price", "2"])
    assert result.exit_code == 0
    for tokens in ("inf", "nan"):
        refused = CliRunner().invoke(app, ["plan", "--depth", "4", "--tokens", tokens])
        assert isinstance(refused.exception, BadInput) and f"--tokens is {tokens}" in str(refused.exception)
    assert "135,267,072 parameters; 4,200 steps of 524,288 tokens" in result.stdout
    assert "  compute.processes=8" in result.stdout and "at $2 per card hour" in result.stdout
    assert "16.00 GB at the peak" in result.stdout
    found = json.loads(
        CliRunner().invoke(app, ["plan", "--depth", "30", "--tokens", "1e12", "--json"]).stdout
    )
    assert found["disk"]["token shards"] == 2e12 and found["dry_run"] == dry
    mixed = CliRunner().invoke(app, ["plan", "--depth", "12", "-S", "model.n_layer=4"])
    assert "-S and --strict mean nothing" in str(mixed.exception)


def test_help_shows_examples() -> None:
    assert "groundup plan -S model.n_layer=4" in CliRunner().invoke(app, ["plan", "--help"]).stdout
