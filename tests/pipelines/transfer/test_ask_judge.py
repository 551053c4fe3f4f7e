from dataclasses import replace
from pathlib import Path

import pytest

from groundup.evaluation.config import JudgeConfig
from groundup.evaluation.starting_points import STARTS
from groundup.text.jsonl import write_jsonl
from groundup.tracking import silent
from pipelines.transfer.ask_judge import main
from tests.evaluation.test_judge import ROWS, Server, server  # noqa: F401 - a fixture
from tests.pipelines.prepared import read_json


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    held_out = {**ROWS[0], "split": "held_out"}
    for name in STARTS:
        answered = ROWS * 9 if name == "lora" else ROWS
        rows = [held_out, *({**row, "split": "test"} for row in answered)]
        write_jsonl(tmp_path / f"responses/{name}.jsonl", rows)
    return tmp_path


def test_the_first_answers_to_unseen_tasks_are_judged(
    server: tuple[type[Server], JudgeConfig],  # noqa: F811
    folder: Path,
) -> None:
    _, config = server
    main(silent(), folder / "responses", folder / "judge.json", ask_judge=config)
    found = read_json(folder / "judge.json")
    assert found["judge"] == "wise" and list(found["scores"]) == sorted(STARTS)
    assert found["scores"]["lora"] == {"mean": (5 * 100 + 4 * 5) / 9, "apart": 0.0, "instances": 9}


def test_an_unreachable_judge_stops_nothing(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    server: tuple[type[Server], JudgeConfig],  # noqa: F811
) -> None:
    config = replace(server[1], url="http://127.0.0.1:9")
    main(silent(), folder / "responses", folder / "judge.json", ask_judge=config)
    assert read_json(folder / "judge.json") == {"judge": None, "scores": {}}
    assert "gave no answer" in capsys.readouterr().err


def test_without_a_judge_there_are_no_scores(folder: Path) -> None:
    config = JudgeConfig(None, "wise", 1, 1, 0.0, 1.0)
    main(silent(), folder / "responses", folder / "judge.json", ask_judge=config)
    assert read_json(folder / "judge.json") == {"judge": None, "scores": {}}
