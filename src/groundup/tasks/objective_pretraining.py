"""Pretraining of a decoder on next tokens or an encoder on masked tokens, with equal shape, text and time."""

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from groundup.checkpoint import fingerprint, save_checkpoint
from groundup.errors import BadInput
from groundup.evaluation import ngram_baselines, token_accuracy
from groundup.evaluation.metrics import Bootstrap
from groundup.evaluation.token_accuracy import Ids
from groundup.nn.decoder import Decoder
from groundup.nn.encoder import Encoder
from groundup.tokenizers.wordpiece import WordPieceTokenizer
from groundup.training import masking
from groundup.training.batching import Batches, window_batches
from groundup.training.config import ComputeConfig, ObjectivesConfig
from groundup.training.curves import write_curve
from groundup.training.devices import pick_device
from groundup.training.loop import Log, fit
from groundup.training.objectives import IGNORE_INDEX, causal_lm, masked_lm
from groundup.training.resume import Resume
from groundup.training.shards import SPLITS, open_shard
from groundup.training.spreading import Objective

OBJECTIVES = ("causal", "masked")
Stream = NDArray[np.unsignedinteger[Any]]  # token ids (N,)


@dataclass(frozen=True)
class Questions:
    """The evaluation set of one objective: W held-out windows of T tokens.

    Attributes:
        shown: (W, T), the model's input.
        targets: (W, T), the right tokens; IGNORE_INDEX where no guess is scored.
        counted: (W, T), the guesses of the trigram baseline.
    """

    shown: Ids
    targets: Ids
    counted: Ids


def pretrain_objective(
    objective: str,
    tokens: Path,
    tokenizer: Path,
    out: Path,
    curve: Path,
    state: Path,
    *,
    config: ObjectivesConfig,
    compute: ComputeConfig,
    log: Log,
) -> dict[str, Any]:
    """Pretrain the model of one objective, evaluate it on val, and write its checkpoint and training curve.

    Args:
        objective: one of OBJECTIVES: "causal" trains a decoder, "masked" an encoder.
        tokens: folder of the corpus, as ids of the tokenizer.
        tokenizer: file of a WordPiece tokenizer.
        out: folder of the checkpoint to write.
        curve: CSV file of losses and accuracies to write.
        state: folder of the resumable state; call `clear_states` once all outputs are stored.
        config: model, masking and training.
        compute: device and precision.
        log: see `fit`.

    Returns:
        "accuracy" and "lead" of the systems "model", "trigram" and "unigram" (see `accuracies`), "val_loss"
        in nats per guess, "guesses", "parameters", "steps", "tokens", "max_seconds", and "cpu_share", the CPU
        time over the time of all threads.

    Raises:
        BadInput: the objective is unknown, or the shards were made with another tokenizer; see also `fit`.
    """
    if objective not in OBJECTIVES:
        raise BadInput(f"the objective is {objective!r}; expected causal or masked: correct it.")
    vocabulary = WordPieceTokenizer.load(tokenizer)
    train, val = (open_shard(tokens, split, tokenizer=vocabulary) for split in SPLITS)
    device = pick_device(compute)
    torch.manual_seed(config.seed)
    shape = config.model.config(vocabulary.vocab_size, causal=objective == "causal")
    model = (Decoder(shape) if objective == "causal" else Encoder(shape)).to(device)
    asked = _questions(objective, train, val, vocabulary, config)
    data = {split: fingerprint(tokens / f"{split}.bin") for split in SPLITS}
    resume = Resume(state, objectives=config, compute=compute, tokenizer=vocabulary.fingerprint, data=data)
    start, busy = time.perf_counter(), time.process_time()
    history = _train(objective, model, train, vocabulary, asked, config, compute, log, resume)
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    save_checkpoint(out, model, vocabulary, params={"objectives": asdict(config)}, data=data)
    write_curve(curve, history)
    return {
        **_measure(model, asked, ngram_baselines.most_frequent(train, vocabulary.vocab_size), config),
        "parameters": sum(p.numel() for p in model.parameters()),
        "steps": int(history[-1]["step"]),
        "tokens": int(history[-1]["tokens_seen"]),
        "max_seconds": config.training.max_seconds,
        # low if other processes used the CPU; in a resumed run, only the time since the interruption counts
        "cpu_share": round(busy / (seconds * compute.threads), 3),
    }


def _questions(
    objective: str, train: Stream, val: Stream, vocabulary: WordPieceTokenizer, config: ObjectivesConfig
) -> Questions:
    windows = token_accuracy.windows_of(val, config.model.context_length)
    if objective == "causal":
        counted = ngram_baselines.next_token(train, vocabulary.vocab_size).guess(windows)
        return Questions(windows[:, :-1], windows[:, 1:], counted[:, 1:])
    hidden = masking.MaskVocabulary.of(vocabulary)
    shown, targets = masking.questions(windows[:, :-1], hidden, config.masking, config.seed)
    visible = np.where(targets == IGNORE_INDEX, shown, ngram_baselines.UNKNOWN)
    counted = ngram_baselines.hidden_token(train, vocabulary.vocab_size).guess(visible)
    return Questions(shown, targets, counted)


def _train(
    objective: str,
    model: Decoder | Encoder,
    train: Stream,
    vocabulary: WordPieceTokenizer,
    asked: Questions,
    config: ObjectivesConfig,
    compute: ComputeConfig,
    log: Log,
    resume: Resume,
) -> list[dict[str, float]]:
    training = config.training
    sizes = (config.model.context_length, training.batch_size, training.grad_accum_steps, config.seed)
    loss: Objective
    batches: Batches
    if objective == "causal":
        loss, batches = causal_lm, window_batches(train, *sizes)
    else:
        hidden = masking.MaskVocabulary.of(vocabulary)
        loss, batches = masked_lm, masking.masked_windows(train, hidden, config.masking, *sizes)

    def evaluate(step: int) -> dict[str, float]:
        targets = asked.targets[: config.eval_windows]
        guessed, nats = token_accuracy.guesses(model, asked.shown[: config.eval_windows], targets)
        return {"val/loss": nats, "val/accuracy": float((guessed == targets)[targets != IGNORE_INDEX].mean())}

    return fit(
        model,
        loss,
        batches,
        training,
        compute,
        seed=config.seed,
        log=log,
        evaluate=evaluate,
        resume=resume,
        description=f"pretrain, {objective}",
    )


def _measure(
    model: Decoder | Encoder, asked: Questions, most_frequent: int, config: ObjectivesConfig
) -> dict[str, Any]:
    """Score the guesses of the model, of the trigram baseline, and of the most frequent token."""
    guessed, nats = token_accuracy.guesses(model, asked.shown, asked.targets)
    same = np.full_like(asked.targets, most_frequent)
    systems = {"model": guessed, "trigram": asked.counted, "unigram": same}
    bootstrap = Bootstrap(config.bootstrap_samples, config.confidence, config.seed)
    return {
        **token_accuracy.accuracies(asked.targets, systems, bootstrap),
        "val_loss": round(nats, 6),
        "guesses": int((asked.targets != IGNORE_INDEX).sum()),
    }
