from dataclasses import replace
from pathlib import Path

import pytest

from groundup.evaluation.judge import JudgeConfig
from groundup.text.jsonl import write_jsonl
from groundup.tracking import silent
from pipelines.transfer.ask_judge import main
from tests.evaluation.test_judge import ROWS, Server, server  # noqa: F401 - a fixture
from tests.pipelines.prepared import read_json


def test_the_first_answers_to_unseen_tasks_are_judged(
    server: tuple[type[Server], JudgeConfig],  # noqa: F811
    tmp_path: Path,
) -> None:
    _, config = server
    held_out = {**ROWS[0], "split": "held_out"}
    write_jsonl(tmp_path / "taught.jsonl", [held_out, *({**row, "split": "test"} for row in ROWS * 9)])
    main(silent(), tmp_path / "taught.jsonl", tmp_path / "judge.json", ask_judge=config)
    assert read_json(tmp_path / "judge.json") == {
        "judge": "wise",
        "scores": {"taught": {"mean": (5 * 100 + 4 * 5) / 9, "apart": 0.0, "instances": 9}},
    }


def test_a_judge_that_is_not_there_stops_nothing(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    server: tuple[type[Server], JudgeConfig],  # noqa: F811
) -> None:
    write_jsonl(tmp_path / "taught.jsonl", [{**ROWS[0], "split": "test"}])
    config = replace(server[1], url="http://127.0.0.1:9")
    main(silent(), tmp_path / "taught.jsonl", tmp_path / "judge.json", ask_judge=config)
    assert read_json(tmp_path / "judge.json") == {"judge": None, "scores": {}}
    assert "gave no answer" in capsys.readouterr().err


def test_nobody_judges(tmp_path: Path) -> None:
    config = JudgeConfig(None, "wise", 1, 1, 0.0, 1.0)
    main(silent(), tmp_path / "taught.jsonl", tmp_path / "judge.json", ask_judge=config)
    assert read_json(tmp_path / "judge.json") == {"judge": None, "scores": {}}
