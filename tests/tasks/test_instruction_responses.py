from dataclasses import replace
from pathlib import Path

from groundup.checkpoint import load_checkpoint
from groundup.tasks.instruction_responses import before_and_after
from groundup.tasks.instructions import respond
from groundup.text.jsonl import read_splits
from tests.pipelines.main.measured import COMPUTE, EVALUATE, make_run


def test_the_finetuned_model_answers_all_and_the_pretrained_one_some_of_each_family(tmp_path: Path) -> None:
    make_run(tmp_path)
    tests = read_splits(tmp_path / "instructions", ("test", "held_out"))
    config = replace(EVALUATE, before_per_family=1, samples=0)
    found = before_and_after(tests, tmp_path / "pretrained", tmp_path / "finetuned", config, COMPUTE)
    assert list(found) == ["test", "held_out"]
    for name, rows in tests.items():
        part = found[name]
        assert list(part.rows) == rows
        asked = [
            row["id"] for i, row in enumerate(rows) if row["family"] not in {r["family"] for r in rows[:i]}
        ]
        assert list(part.before) == asked
        requests = [(row["instruction"], row["input"]) for row in rows]
        after = load_checkpoint(tmp_path / "finetuned")
        assert list(part.after) == respond(after, requests, max_new_tokens=config.max_new_tokens)
