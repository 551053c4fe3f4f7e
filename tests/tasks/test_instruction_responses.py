from dataclasses import replace
from pathlib import Path

from groundup.checkpoint import load_checkpoint
from groundup.datasets.mixtures import sample_families
from groundup.evaluation.config import EvaluateStartsConfig
from groundup.tasks.instruction_responses import answer_sample, answers_of, before_and_after
from groundup.tasks.instructions import respond
from groundup.text.jsonl import read_splits
from tests.pipelines.main.measured import COMPUTE, EVALUATE, make_run


def test_the_finetuned_model_answers_all_rows_and_the_pretrained_one_some(tmp_path: Path) -> None:
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


def test_a_sample_of_the_rows_is_answered_and_scored(tmp_path: Path) -> None:
    make_run(tmp_path)
    rows = read_splits(tmp_path / "instructions", ("test",))["test"]
    n = len({row["family"] for row in rows})
    config = EvaluateStartsConfig(
        conversations=1, window=1, instances=n, max_new_tokens=3, question_tokens=1, batch_size=2, seed=1
    )
    model = load_checkpoint(tmp_path / "finetuned")
    answered, found = answer_sample(model, rows, config, description="test")
    asked = sample_families(rows, n, seed=1)
    said = respond(model, [(row["instruction"], row["input"]) for row in asked], max_new_tokens=3)
    assert answered == list(zip(asked, said, strict=True))
    right = sum(answer.strip(" .") == row["output"] for row, answer in answered)
    assert (found["instances"], found["exact_match"]["mean"]) == (n, right / n)
    everything = replace(config, instances=len(rows) + 1)
    assert [row for row, _ in answer_sample(model, rows, everything, description="test")[0]] == rows


def test_the_answers_of_a_checkpoint_to_every_split(tmp_path: Path) -> None:
    make_run(tmp_path)
    tests = read_splits(tmp_path / "instructions", ("test", "held_out"))
    found = answers_of(tmp_path / "finetuned", COMPUTE, tests, 3)
    model = load_checkpoint(tmp_path / "finetuned")
    assert found == {
        name: respond(model, [(row["instruction"], row["input"]) for row in rows], max_new_tokens=3)
        for name, rows in tests.items()
    }
