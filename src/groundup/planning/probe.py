"""Probes: what each training stage takes, estimated from a few of its real steps.

A probe builds the model of the params with random weights, and trains it with `fit` on random tokens in batches of the
planned shape: time and memory depend on neither the weights nor the text, but on how often n-grams repeat.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from groundup.evaluation.config import EvaluateConfig
from groundup.nn.config import ModelParams
from groundup.planning.facts import Facts
from groundup.planning.measuring import (
    TimedTraining,
    peak_device_memory,
    peak_memory,
    seconds_of,
    timed_training,
)
from groundup.planning.random_text import random_text
from groundup.training.config import (
    ComputeConfig,
    InstructionTrainingConfig,
    PretrainConfig,
    SpamTrainingConfig,
    TrainingConfig,
)

if TYPE_CHECKING:
    from groundup.nn.decoder import Decoder

ANSWERED = 64  # prompts at most in the probe of the generation
LEARNED = 2**19  # tokens whose n-grams the model of a finetuning knows


@dataclass(frozen=True)
class Cost:
    """What a stage takes.

    Attributes:
        seconds: by part of the stage, such as "steps" and "evaluation".
        memory: peak resident memory of the process, in bytes.
        device_memory: peak memory of the GPU, in bytes; 0 on a CPU.
        state: bytes of the resumable state; 0 if none is saved.
        weights: bytes of the trained model.
        steps: of the training; fewer than `max_steps` if `max_seconds` ends it earlier.
    """

    seconds: Mapping[str, float]
    memory: int
    device_memory: int = 0
    state: int = 0
    weights: int = 0
    steps: int = 0

    @property
    def total_seconds(self) -> float:
        """Seconds of all parts."""
        return sum(self.seconds.values())


def pretraining(model: ModelParams, config: PretrainConfig, compute: ComputeConfig, facts: Facts) -> Cost:
    """Probe the stage pretrain."""
    import torch

    from groundup.evaluation.language_model import total_nats
    from groundup.generation.decoding import generate
    from groundup.generation.sampling import CONTINUATION
    from groundup.nn.ngrams import COUNTED
    from groundup.training.batching import window_batches
    from groundup.training.counted import count_contexts, counted_batches, counted_lm
    from groundup.training.objectives import causal_lm

    training, context = config.training, model.context_length
    rng = np.random.default_rng(0)
    ids = random_text(rng, facts.vocab_size, min(max(facts.train_tokens, context + 1), COUNTED))
    start = time.perf_counter()
    decoder = _decoder(model, compute, facts, ids)
    first_phase = time.perf_counter() - start
    if config.counted is not None:
        start = time.perf_counter()
        counted = counted_batches(count_contexts(ids, facts.vocab_size), config.counted.batch_size, 0)
        first_phase += time.perf_counter() - start
        measured = timed_training(decoder, counted_lm, counted, training, compute, saves=False)
        first_phase += measured.start + config.counted.steps * measured.step
    batches = window_batches(ids, context, training.batch_size, training.grad_accum_steps, seed=0)
    measured = timed_training(decoder, causal_lm, batches, training, compute, saves=_saves(training) > 0)
    some = ids[: min(len(ids), 16 * context, facts.val_tokens)]
    with torch.inference_mode():
        per_token = seconds_of(lambda: total_nats(decoder, some, 0)) / len(some)
        prompts = [_passage(rng, ids, 6) for _ in config.sample_prompts]
        new = min(config.sample_tokens, 12)
        per_sample = seconds_of(
            lambda: generate(decoder, prompts, max_new_tokens=new, sampling=CONTINUATION, stop_ids=())
        )
    training = _in_time(training, measured.step)
    evaluations = _evaluations(training)
    seconds = {
        "first phase": first_phase,
        "start": measured.start,
        "steps": training.max_steps * measured.step,
        "evaluation": per_token * (evaluations * min(config.eval_tokens, facts.val_tokens) + facts.val_tokens)
        + evaluations * per_sample * config.sample_tokens / max(new, 1),
        "saving": measured.save * _saves(training),
    }
    return _cost(seconds, decoder, measured, training)


def spam_finetuning(
    model: ModelParams, config: SpamTrainingConfig, compute: ComputeConfig, facts: Facts
) -> Cost:
    """Probe the stage finetune_spam: all seeds together."""
    from groundup.tasks.classification import class_weights, make_classifier, predict, training_batches
    from groundup.tasks.frozen_features import Top, compute_features, fixed_blocks
    from groundup.text.labels import LABELS
    from groundup.training import objectives

    training, context = config.training, model.context_length
    rng = np.random.default_rng(0)
    text = random_text(rng, facts.vocab_size, LEARNED)
    decoder = _decoder(model, compute, facts, text)
    lengths = [min(n, context) for n in facts.spam["train"]]
    texts: Any = [_passage(rng, text, n) for n in lengths]
    labels = [LABELS[int(i)] for i in rng.random(len(texts)) < 0.2]
    blocks, feature_seconds = fixed_blocks(decoder, config), 0.0
    if blocks is not None:
        some = texts[:ANSWERED]
        per_text = seconds_of(lambda: compute_features(decoder, some, blocks, compute)) / len(some)
        feature_seconds = per_text * sum(map(len, facts.spam.values()))
        texts = [decoder.wte.weight.new_zeros(n, model.n_embd) for n in lengths]
    classifier = make_classifier(decoder, config)
    measured = timed_training(
        classifier if blocks is None else Top(classifier, blocks),
        partial(
            objectives.classification,
            class_weights=class_weights(labels, config),
            token_dropout=config.token_dropout,
        ),
        training_batches(texts, labels, training, 0),
        training,
        compute,
        saves=_saves(training) > 0,
    )
    some = texts[: 2 * ANSWERED]
    per_token = seconds_of(lambda: predict(classifier, some, blocks=blocks)) / sum(map(len, some))
    tokens = {split: sum(min(n, context) for n in facts.spam[split]) for split in ("val", "test")}
    training = _in_time(training, measured.step)
    evaluated = _evaluations(training) * tokens["val"] + tokens["val"] + tokens["test"]
    seconds = {
        "steps": training.max_steps * measured.step,
        "evaluation": per_token * evaluated,
        "saving": measured.save * _saves(training),
    }
    total = {part: value * len(config.seeds) for part, value in seconds.items()}
    return _cost(total | {"start": measured.start, "features": feature_seconds}, decoder, measured, training)


def instruction_finetuning(
    model: ModelParams, config: InstructionTrainingConfig, compute: ComputeConfig, facts: Facts
) -> Cost:
    """Probe the stage finetune_instructions."""
    from groundup.nn.trainable import freeze_all_but
    from groundup.tasks.instructions import answer_loss, completion_batches
    from groundup.training.batching import Example
    from groundup.training.objectives import causal_lm

    training, context = config.training, model.context_length
    rng = np.random.default_rng(0)
    text = random_text(rng, facts.vocab_size, LEARNED)
    decoder = _decoder(model, compute, facts, text)
    freeze_all_but(decoder, config.trainable_blocks, config.lora)

    def examples(split: str, limit: int | None) -> list[Example]:
        found = []
        for prompt, answer in list(zip(facts.prompts[split], facts.answers[split], strict=True))[:limit]:
            answer = min(answer, context + 1)
            kept = min(prompt, context + 1 - answer)
            ids = _passage(rng, text, kept + answer)
            found.append(Example(ids, [False] * kept + [True] * answer))
        return found

    batches = completion_batches(examples("train", config.max_examples), training, 0, config.packed_tokens)
    measured = timed_training(decoder, causal_lm, batches, training, compute, saves=_saves(training) > 0)
    val = examples("val", config.eval_examples)
    some = val[:ANSWERED]
    per_example = seconds_of(lambda: answer_loss(decoder, some, training.batch_size)) / len(some)
    training = _in_time(training, measured.step)
    seconds = {
        "start": measured.start,
        "steps": training.max_steps * measured.step,
        "evaluation": _evaluations(training) * per_example * len(val),
        "saving": measured.save * _saves(training),
    }
    return _cost(seconds, decoder, measured, training)


def answering(model: ModelParams, config: EvaluateConfig, compute: ComputeConfig, facts: Facts) -> Cost:
    """Probe the generation of the stage evaluate; the rest of the stage is not included."""
    from groundup.generation.decoding import generate
    from groundup.generation.sampling import Sampling

    rng = np.random.default_rng(0)
    text = random_text(rng, facts.vocab_size, LEARNED)
    decoder = _decoder(model, compute, facts, text).eval()
    room = model.context_length - config.max_new_tokens
    size = min(config.batch_size, ANSWERED)
    lengths = sorted(min(n, max(room, 1)) for n in facts.prompts["test"])[
        :: max(1, len(facts.prompts["test"]) // size)
    ]
    prompts = [_passage(rng, text, n) for n in lengths[:size]]

    def answer(new: int) -> float:
        return seconds_of(
            lambda: generate(decoder, prompts, max_new_tokens=new, sampling=Sampling(), stop_ids=())
        )

    few, more = min(2, config.max_new_tokens), min(8, config.max_new_tokens)
    of_few, of_more = answer(few), answer(more)
    per_token = max(of_more - of_few, 0.0) / max(more - few, 1)
    reading = max(of_few - few * per_token, 0.0)
    seconds = 0.0
    for split in ("test", "held_out"):
        rows = len(facts.answers[split])
        # a batch is ready with its longest answer; the model before finetuning does not know when to stop
        longest = min(
            config.max_new_tokens, float(np.quantile(facts.answers[split], 1 - 0.5 / config.batch_size))
        )
        before = min(rows, facts.families[split] * max(config.before_per_family, config.samples))
        for answers, new in ((rows, longest), (before, config.max_new_tokens)):
            seconds += answers / len(prompts) * (reading + new * per_token)
    return Cost({"answers": seconds}, peak_memory(), peak_device_memory())


def _passage(rng: np.random.Generator, text: NDArray[np.uint32], tokens: int) -> list[int]:
    """Return some successive tokens of a text."""
    start = int(rng.integers(max(len(text) - tokens, 0) + 1))
    found: list[int] = text[start : start + tokens].tolist()
    return found


def _decoder(model: ModelParams, compute: ComputeConfig, facts: Facts, text: NDArray[np.uint32]) -> "Decoder":
    """Build the planned model, which knows the n-grams of a text."""
    import torch

    from groundup.nn.decoder import Decoder
    from groundup.training.devices import pick_device

    decoder = Decoder(model.config(facts.vocab_size)).to(pick_device(compute))
    if decoder.ngrams is not None:
        decoder.ngrams.learn(torch.from_numpy(text.astype(np.int64)))
    return decoder


def _evaluations(training: TrainingConfig) -> int:
    """Return how often a training of full length is evaluated."""
    return math.ceil(training.max_steps / training.eval_interval) if training.eval_interval else 1


def _saves(training: TrainingConfig) -> int:
    """Return how often the state of a training of full length is saved."""
    return (training.max_steps - 1) // training.checkpoint_interval if training.checkpoint_interval else 0


def _in_time(training: TrainingConfig, step_seconds: float) -> TrainingConfig:
    """Return a training with the steps that it makes in `max_seconds`."""
    if training.max_seconds is None:
        return training
    return shortened(training, min(training.max_steps, math.ceil(training.max_seconds / step_seconds)))


def shortened(training: TrainingConfig, steps: int) -> TrainingConfig:
    """Return a training that ends after `steps` steps, with the same shares of warm-up and decay.

    So does one that `max_seconds` ends: its learning rates follow the time.
    """
    warmup_steps = round(training.optimizer.warmup_steps * steps / training.max_steps)
    return replace(
        training, max_steps=steps, optimizer=replace(training.optimizer, warmup_steps=warmup_steps)
    )


def _cost(
    seconds: Mapping[str, float], model: Any, measured: TimedTraining, training: TrainingConfig
) -> Cost:
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    return Cost(
        dict(seconds), peak_memory(), peak_device_memory(), measured.state, weights, training.max_steps
    )
