"""The probes of tiny models: what they count is what the real trainings do. Times depend on the machine."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from groundup.nn.config import LoRAConfig
from groundup.nn.decoder import Decoder
from groundup.planning import measuring, probe
from groundup.tasks import pretraining
from groundup.tokenizers.bpe import BPETokenizer
from groundup.training.resume import Resume
from tests.pipelines.prepared import MODEL, PRETRAIN
from tests.planning.tiny_facts import FACTS, INSTRUCTIONS, SPAM
from tests.tiny import ADAMW, CPU, EVALUATE, training_config


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "PROBE_SECONDS", 0.0)


def test_a_planned_pretraining_has_the_parts_of_a_real_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = training_config(max_steps=11, eval_interval=4, checkpoint_interval=3)
    config = replace(PRETRAIN, training=training)
    cost = probe.pretraining(MODEL, config, CPU, FACTS)
    assert set(cost.seconds) == {"first phase", "start", "steps", "evaluation", "saving"}

    saved: list[int] = []
    evaluated: list[int] = []

    class Counted(Resume):
        def save(self, *state: Any) -> None:
            super().save(*state)
            saved.append(self.path.stat().st_size)

    total_nats = pretraining.total_nats

    def counted(*arguments: Any) -> float:
        evaluated.append(len(arguments[1]))
        return total_nats(*arguments)

    monkeypatch.setattr(pretraining, "total_nats", counted)
    decoder = Decoder(MODEL.config(FACTS.vocab_size))
    ids = torch.randint(FACTS.vocab_size, (2000,)).numpy().astype("uint16")
    tokenizer = BPETokenizer.train(["tea and cake and tea and milk"], FACTS.vocab_size)
    pretraining.pretrain(decoder, tokenizer, ids, ids[:300], config, CPU, resume=Counted(tmp_path))
    assert len(saved) == probe._saves(training) == 3
    assert len(evaluated) == probe._evaluations(training) == 3
    assert cost.state == pytest.approx(saved[0], rel=0.05)  # the history grows
    assert cost.weights == sum(p.numel() * 4 for p in decoder.parameters())
    assert cost.memory > cost.weights


def test_a_training_ends_with_max_seconds() -> None:
    optimizer = replace(ADAMW, warmup_steps=50)
    training = training_config(max_steps=100, eval_interval=10, optimizer=optimizer)
    assert probe._in_time(training, 1.0) == training
    limited = probe._in_time(replace(training, max_seconds=20.0), 1.0)
    assert (limited.max_steps, limited.optimizer.warmup_steps) == (20, 10)
    assert probe._evaluations(limited) == 2
    assert probe._in_time(replace(training, max_seconds=2000.0), 1.0).max_steps == 100
    assert probe._evaluations(training_config(eval_interval=0)) == 1
    assert probe._saves(training_config(checkpoint_interval=0)) == 0


def test_finetuning_and_answering() -> None:
    spam = probe.spam_finetuning(MODEL, SPAM, CPU, FACTS)
    one = probe.spam_finetuning(MODEL, replace(SPAM, seeds=(1,)), CPU, FACTS)
    assert spam.weights == one.weights > 0
    assert set(spam.seconds) == {"start", "steps", "evaluation", "saving", "features"}
    instructions = probe.instruction_finetuning(MODEL, INSTRUCTIONS, CPU, FACTS)
    assert instructions.seconds["steps"] > 0
    answers = probe.answering(MODEL, EVALUATE, CPU, FACTS)
    assert answers.seconds["answers"] > 0


def test_an_answer_longer_than_the_context_is_cut() -> None:
    long = {split: [MODEL.context_length + 5] * len(some) for split, some in FACTS.answers.items()}
    found = probe.instruction_finetuning(MODEL, INSTRUCTIONS, CPU, replace(FACTS, answers=long))
    assert found.seconds["steps"] > 0


def test_frozen_blocks_and_adapters_are_probed_as_they_are_trained() -> None:
    frozen = replace(SPAM, trainable_blocks=0, token_dropout=0.0)
    assert probe.spam_finetuning(replace(MODEL, dropout=0.0), frozen, CPU, FACTS).seconds["features"] > 0
    adapters = replace(INSTRUCTIONS, lora=LoRAConfig(2, 4.0, 0.0, ("c_attn",)))
    saving = replace(adapters, training=training_config(checkpoint_interval=1))
    full = replace(INSTRUCTIONS, training=training_config(checkpoint_interval=1))
    states = [probe.instruction_finetuning(MODEL, c, CPU, FACTS).state for c in (saving, full)]
    assert 0 < states[0] < states[1]  # a state has only what is trained
