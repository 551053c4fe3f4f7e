from pathlib import Path

import pytest

from groundup.checkpoint import load_checkpoint
from groundup.evaluation.language_model import bits_per_byte, nats_of_texts
from groundup.text.jsonl import read_jsonl
from groundup.tracking import silent
from pipelines.transfer.evaluate_starts import main
from tests.pipelines.prepared import TALK, make_corpus, read_json
from tests.pipelines.transfer.starts import SCORE, make_lora, make_published
from tests.tiny import CPU


@pytest.mark.parametrize("model", ["published", "lora"])
def test_bits_and_answers(model: str, tmp_path: Path) -> None:
    make_published(tmp_path)
    make_lora(tmp_path)
    paths = (tmp_path / name for name in (model, "corpus", "instructions", "responses.jsonl", "scores.json"))
    main(silent(), *paths, evaluate_starts=SCORE, compute=CPU)
    found = read_json(tmp_path / "scores.json")
    assert isinstance(found, dict)
    talks = [[TALK[i], TALK[(i * 5 + 1) % 6]] for i in range(3)]  # the first three conversations
    checkpoint = load_checkpoint(tmp_path / model)
    n_bytes = sum(len(message) for talk in talks for message in talk)
    nats = nats_of_texts(checkpoint.model, checkpoint.tokenizer, ["\n".join(talk) for talk in talks], 16)
    assert found["bytes"] == n_bytes
    assert found["bits_per_byte"] == pytest.approx(bits_per_byte(nats, n_bytes), abs=1e-5)
    rows = read_jsonl(tmp_path / "responses.jsonl")
    assert [row["split"] for row in rows] == ["test"] * 2
    right = sum(row["response"].strip(" .") == row["output"] for row in rows)
    assert found["test"]["exact_match"]["mean"] == right / 2
    assert found["held_out"]["instances"] == 0
    for questions in (found["questions"]["fresh"], found["questions"]["after_tasks"]):
        assert questions["instances"] == len(questions["answers"]) == 50
        assert all(row["question"] and isinstance(row["answer"], str) for row in questions["answers"])


def test_a_model_without_a_chat_template_is_asked_no_questions(tmp_path: Path) -> None:
    make_corpus(tmp_path)
    make_published(tmp_path, "gpt2")
    paths = (
        tmp_path / name for name in ("published", "corpus", "instructions", "responses.jsonl", "scores.json")
    )
    main(silent(), *paths, evaluate_starts=SCORE, compute=CPU)
    found = read_json(tmp_path / "scores.json")
    assert isinstance(found, dict) and found["questions"] is None
