"""The contests of the gate, with real tiny models: which rows count, what is measured, and what is said."""

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from groundup.checkpoint import Checkpoint, CheckpointConfig, load_checkpoint, save_checkpoint
from groundup.generation.prompts import Request
from groundup.nn.classifier import SequenceClassifier
from groundup.nn.config import LoRAConfig
from groundup.nn.lora import add_adapters
from groundup.tasks.classification import spam_probabilities
from groundup.text.fingerprints import fingerprints
from groundup.text.jsonl import write_jsonl
from groundup.text.labels import LABELS
from groundup.tokenizers.characters import CharacterTokenizer
from pipelines import contests
from pipelines.contests import Entrant, Match
from pipelines.params import load_params
from tests.pipelines import prepared, toy
from tests.tiny import random_decoder, randomised

LOADED: Any = load_params("main", toy.ROOT)
GATE = replace(LOADED.retrain.gate, instances=4)
PARAMS: Any = SimpleNamespace(
    retrain=replace(LOADED.retrain, gate=GATE), evaluate=SimpleNamespace(max_new_tokens=3)
)
LETTERS = CharacterTokenizer.train("abcdefghijklmnopqrstuvwxyz .\n")
TALK = [{"id": str(i), "messages": [chr(97 + i) * (i + 3), "a cab"]} for i in range(26)]


def language_model(seed: int) -> Checkpoint:
    model = randomised(random_decoder(vocab_size=LETTERS.vocab_size), seed)
    return Checkpoint(model, LETTERS, CheckpointConfig("decoder", model.config, LETTERS.fingerprint))


def classifier(seed: int) -> Checkpoint:
    model = randomised(
        SequenceClassifier(random_decoder(vocab_size=LETTERS.vocab_size), len(LABELS), "max"), seed
    )
    config = CheckpointConfig("classifier", model.trunk.config, LETTERS.fingerprint, labels=LABELS)
    return Checkpoint(model.eval(), LETTERS, config)


def match(
    champion: Checkpoint | None, challenger: Checkpoint, *trained_on: dict[str, Any], **facts: Any
) -> Match:
    """A match in which the champion was trained on the given rows."""
    old = None if champion is None else Entrant(champion, 100, fingerprints(trained_on))
    return Match(old, Entrant(challenger, 120, ()), 0.01, PARAMS, **facts)


@torch.inference_mode()
def test_nats_are_those_of_every_token_and_the_end() -> None:
    checkpoint = language_model(1)
    [found, _] = contests.nats(checkpoint, TALK[:2])
    ids = [LETTERS.eot_id, *LETTERS.encode("aaa\na cab"), LETTERS.eot_id]
    assert len(ids) <= checkpoint.config.model.context_length + 1
    log_p = checkpoint.model.logits(checkpoint.model(torch.tensor([ids[:-1]])))[0].log_softmax(-1)
    expected = -sum(float(log_p[i, token]) for i, token in enumerate(ids[1:]))
    assert found == pytest.approx(expected, rel=1e-5)
    assert contests.n_bytes(TALK[:2]).tolist() == [8, 9]


def test_language_models_are_compared_on_documents_that_neither_saw() -> None:
    old, new = language_model(1), language_model(2)
    twice = [*TALK, TALK[5] | {"id": "again"}]
    verdict = contests.judge_pretrained(twice, match(old, new, TALK[0]))
    seen = TALK[1:]
    bits = [
        float(contests.nats(one, seen).sum()) / math.log(2) / contests.n_bytes(seen).sum()
        for one in (old, new)
    ]
    assert verdict.numbers["rows"] == 25
    assert verdict.numbers["left_out"] == {"trained_on": 1, "near_duplicates": 1}
    assert [verdict.numbers["champion"], verdict.numbers["challenger"]] == pytest.approx(bits)
    assert verdict.numbers["ratios"]["size"] == 1.2 and verdict.numbers["ratios"]["time per answer"] > 0


def test_spam_is_decided_on_one_message_of_each_campaign() -> None:
    texts = ["see you", "win a prize now", "are you home", "call me", "win a prize now", "seen before"]
    rows = [{"text": text, "label": LABELS[text.startswith("win")]} for text in texts]
    old, new = classifier(1), classifier(2)
    verdict = contests.judge_spam(rows, match(old, new, {"text": "Seen before."}))
    assert verdict.numbers["rows"] == 4
    assert verdict.numbers["left_out"] == {"trained_on": 1, "near_duplicates": 1}
    kept = rows[:4]
    for name, one in (("champion", old), ("challenger", new)):
        said = np.array(spam_probabilities(one, [row["text"] for row in kept])) >= 0.5
        right = said == np.array([row["label"] == "spam" for row in kept])
        assert verdict.numbers[name] == pytest.approx(right.mean())


def test_instructions_are_answered_on_a_spread_of_the_rows_and_guarded_by_conversations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [
        {"id": str(i), "family": "own", "instruction": f"Say {i}.", "input": "", "output": str(i)}
        for i in range(11)
    ]
    asked: list[str] = []

    def respond(checkpoint: Checkpoint, requests: list[Request], *, max_new_tokens: int) -> list[str]:
        """Every answer of the champion is right, and one of the challenger."""
        assert max_new_tokens == 3
        asked.extend(request.instruction for request in requests)
        right = [request.instruction.removeprefix("Say ").rstrip(".") for request in requests]
        return right if checkpoint is old else [right[0], *("no" for _ in right[1:])]

    monkeypatch.setattr("groundup.tasks.instructions.respond", respond)
    old, new = language_model(1), language_model(2)
    verdict = contests.judge_instructions(rows, match(old, new, rows[0], TALK[3], conversations=TALK))
    assert asked[:4] == ["Say 1.", "Say 3.", "Say 6.", "Say 8."]  # the champion was trained on the first
    assert (verdict.numbers["champion"], verdict.numbers["challenger"]) == (1.0, 0.25)
    assert verdict.numbers["left_out"] == {"trained_on": 1, "near_duplicates": 0}
    seen = [row for row in TALK if row is not TALK[3]]
    bits = contests.nats(new, seen).sum() / math.log(2) / contests.n_bytes(seen).sum()
    assert verdict.numbers["conversations"]["challenger"] == pytest.approx(bits)
    assert verdict.outcome == "kept"


def test_the_first_model_needs_no_opponent() -> None:
    verdict = contests.judge_pretrained(TALK, match(None, language_model(1)))
    assert "there is no champion yet" in verdict.reasons[0] and "ratios" not in verdict.numbers


def test_an_entrant_is_loaded_with_its_size_and_its_record(tmp_path: Path) -> None:
    folder = tmp_path / "artifacts/checkpoint"
    prepared.make_pretrained(folder)
    (tmp_path / "artifacts/trained_on.json").write_text('["abc"]')
    entrant = Entrant.load(folder)
    assert entrant.trained_on == {"abc"}
    assert entrant.n_bytes == sum(len(content) for content in prepared.content(folder).values())
    assert entrant.checkpoint.config == load_checkpoint(folder).config


def test_adapters_are_as_large_as_the_model_that_they_need(tmp_path: Path) -> None:
    base, folder = tmp_path / "base", tmp_path / "adapters"
    prepared.make_pretrained(base)
    model = load_checkpoint(base).model
    lora = LoRAConfig(2, 4.0, 0.0, ("c_attn",))
    add_adapters(model, lora)
    save_checkpoint(folder, model, prepared.tokenizer(), base=base, lora=lora)
    own = sum(len(content) for content in prepared.content(folder).values())
    assert Entrant.load(folder).n_bytes == own + (base / "model.safetensors").stat().st_size


def test_nothing_is_decided_if_a_model_was_trained_on_all_rows() -> None:
    messages = [{"text": "see you", "label": "ham"}, {"text": "win a prize", "label": "spam"}]
    tasks = [{"id": "1", "family": "own", "instruction": "Say 1.", "input": "", "output": "1"}]
    old, new = language_model(1), language_model(2)
    verdicts = (
        contests.judge_spam(messages, match(classifier(1), classifier(2), *messages)),
        contests.judge_instructions(tasks, match(old, new, *tasks, conversations=TALK)),
        contests.judge_pretrained(TALK, match(old, new, *TALK)),
    )
    for verdict in verdicts:
        assert verdict.outcome == "undecided" and verdict.spent == 0
        assert verdict.reasons[0].startswith("0 ") and verdict.numbers["left_out"]["trained_on"]


def test_data_without_a_gate_split_has_no_rows(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "test.jsonl", [{"text": "never used to decide"}])
    assert contests.gate_split(tmp_path) == []
    write_jsonl(tmp_path / "gate.jsonl", [{"text": "a"}])
    assert contests.gate_split(tmp_path) == [{"text": "a"}]
