from pathlib import Path

import pytest
from typer.testing import CliRunner

from groundup.cli.main import app
from groundup.errors import BadInput
from groundup.grammar.harness_tasks import task_of
from groundup.text.jsonl import read_jsonl, write_jsonl


def test_tasks_and_scores(tmp_path: Path) -> None:
    """The training text has one of the sentences; the harness's answers are all right but that one's."""
    training, tasks, results = tmp_path / "train.jsonl", tmp_path / "tasks", tmp_path / "results"
    write_jsonl(training, [{"id": "1", "messages": ["Hi!"]}])
    options = ["--pairs", "40", "--training", str(training)]
    assert CliRunner().invoke(app, ["lm-eval-tasks", str(tasks), *options]).exit_code == 0
    name = task_of("comparative")
    known = read_jsonl(tasks / f"{name}.jsonl")[3]["good"]
    write_jsonl(training, [{"id": "1", "messages": ["Hi!", known.upper()]}])
    CliRunner().invoke(app, ["lm-eval-tasks", str(tasks), *options])
    docs = read_jsonl(tasks / f"{name}.jsonl")
    assert [doc["good"] for doc in docs if doc["leaked"]] == [known]
    rows = [{"doc": doc, "acc": float(not doc["leaked"])} for doc in docs]
    write_jsonl(results / f"m/samples_{name}_2026-11-27T10-00-00.jsonl", rows)
    shown = CliRunner().invoke(app, ["lm-eval-scores", str(results)]).output.splitlines()
    # Wilson's interval for 39 of 40
    assert shown[1].split() == ["comparative", "40", "2.5%", "50%", "97.5%", "(87.1%", "to", "99.6%)"]
    assert [line.split()[0] for line in shown] == ["phenomenon", "comparative", "mean"]


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "thesis.txt").touch()
    monkeypatch.chdir(tmp_path)
    for folder in (".", str(tmp_path), "thesis.txt"):
        done = CliRunner().invoke(app, ["lm-eval-tasks", folder])
        assert isinstance(done.exception, BadInput) and "would be lost" in str(done.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_training_text_that_is_not_there(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["lm-eval-tasks", str(tmp_path / "t"), "--training", str(tmp_path / "no")])
    assert isinstance(done.exception, BadInput)
    assert not (tmp_path / "t").exists()
    with pytest.raises(BadInput, match="run it with --tasks"):
        raise CliRunner().invoke(app, ["lm-eval-scores", str(tmp_path)]).exception or AssertionError
