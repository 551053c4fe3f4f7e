"""Pretrain a decoder on next tokens or an encoder on hidden ones: one shape, one text, the same time."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from groundup.errors import BadInput
from groundup.files import write_json
from groundup.tracking import Run
from groundup.training.config import ComputeConfig, ObjectivesConfig
from groundup.training.curves import write_curve


def main(
    run: Run,
    objective: str,
    tokens: Path,
    tokenizer: Path,
    out: Path,
    metrics: Path,
    curve: Path,
    state: Path,
    *,
    objectives: ObjectivesConfig,
    compute: ComputeConfig,
) -> None:
    """Write the checkpoint, its accuracy on val beside that of counting neighbours, and the curve."""
    import numpy as np
    import torch

    from groundup.checkpoint import fingerprint, save_checkpoint
    from groundup.evaluation import ngram_baselines, token_accuracy
    from groundup.evaluation.metrics import Bootstrap
    from groundup.nn.decoder import Decoder
    from groundup.nn.encoder import Encoder
    from groundup.tokenizers.wordpiece import WordPieceTokenizer
    from groundup.training import masking
    from groundup.training.batching import window_batches
    from groundup.training.devices import pick_device
    from groundup.training.loop import Objective, fit
    from groundup.training.objectives import IGNORE_INDEX, causal_lm, masked_lm
    from groundup.training.resume import Resume
    from groundup.training.shards import open_shard

    if objective not in ("causal", "masked"):
        raise BadInput(f"the objective is {objective!r}; expected causal or masked.")
    config, training, causal = objectives, objectives.training, objective == "causal"
    vocabulary = WordPieceTokenizer.load(tokenizer)
    train, val = (open_shard(tokens, split, tokenizer=vocabulary) for split in ("train", "val"))
    device = pick_device(compute)
    torch.manual_seed(config.seed)
    shape = config.model.config(vocabulary.vocab_size, causal=causal)
    model = (Decoder(shape) if causal else Encoder(shape)).to(device)
    windows = token_accuracy.windows_of(val, shape.context_length)
    sizes = (shape.context_length, training.batch_size, training.grad_accum_steps, config.seed)
    if causal:
        loss: Objective = causal_lm
        batches = window_batches(train, *sizes)
        shown, targets = windows[:, :-1], windows[:, 1:]
        counted = ngram_baselines.next_token(train, vocabulary.vocab_size).guess(windows)[:, 1:]
    else:
        loss, hidden = masked_lm, masking.MaskVocabulary.of(vocabulary)
        batches = masking.masked_windows(train, hidden, config.masking, *sizes)
        shown, targets = masking.questions(windows[:, :-1], hidden, config.masking, config.seed)
        visible = np.where(targets == IGNORE_INDEX, shown, ngram_baselines.UNKNOWN)
        counted = ngram_baselines.hidden_token(train, vocabulary.vocab_size).guess(visible)

    def evaluate(step: int) -> dict[str, float]:
        asked = targets[: config.eval_windows]
        guessed, nats = token_accuracy.guesses(model, shown[: config.eval_windows], asked)
        return {"val/loss": nats, "val/accuracy": float((guessed == asked)[asked != IGNORE_INDEX].mean())}

    data = {split: fingerprint(tokens / f"{split}.bin") for split in ("train", "val")}
    resume = Resume(state, objectives=config, compute=compute, tokenizer=vocabulary.fingerprint, data=data)
    start, busy = time.perf_counter(), time.process_time()
    history = fit(
        model,
        loss,
        batches,
        training,
        compute,
        seed=config.seed,
        log=run.log,
        evaluate=evaluate,
        resume=resume,
        description=f"pretrain, {objective}",
    )
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    save_checkpoint(out, model, vocabulary, params={"objectives": asdict(config)}, data=data)
    write_curve(curve, history)
    run.artifact(curve, "curves")
    run.pointer(out / "model.safetensors", "checkpoint")
    guessed, nats = token_accuracy.guesses(model, shown, targets)
    same = np.full_like(targets, ngram_baselines.most_frequent(train, vocabulary.vocab_size))
    bootstrap = Bootstrap(config.bootstrap_samples, config.confidence, config.seed)
    systems = {"model": guessed, "trigram": counted, "unigram": same}
    steps = int(history[-1]["step"])
    figures: dict[str, Any] = {
        **token_accuracy.accuracies(targets, systems, bootstrap),
        "val_loss": round(nats, 6),
        "guesses": int((targets != IGNORE_INDEX).sum()),
        "parameters": sum(p.numel() for p in model.parameters()),
        "steps": steps,
        "tokens": int(history[-1]["tokens_seen"]),
        # much less than at other times: others had the rest; of the last part, where the training was interrupted
        "cpu_share": round(busy / (seconds * compute.threads), 3),
    }
    run.log({"val/accuracy": figures["accuracy"]["model"]["mean"]}, step=steps)
    write_json(metrics, figures)
    resume.clear()
