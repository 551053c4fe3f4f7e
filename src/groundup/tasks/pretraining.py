"""Pretraining of a decoder from random weights on token shards, and its loss on the val split."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from groundup.checkpoint import fingerprint, save_checkpoint
from groundup.evaluation.language_model import bits_per_byte, total_nats
from groundup.generation.decoding import generate
from groundup.generation.sampling import CONTINUATION
from groundup.grammar.decisions import accuracies, decisions, of_decoder
from groundup.grammar.minimal_pairs import minimal_pairs
from groundup.nn.config import ModelParams
from groundup.nn.decoder import Decoder
from groundup.nn.ngrams import COUNTED
from groundup.tokenizers.bpe import BPETokenizer
from groundup.training.batching import window_batches
from groundup.training.config import ComputeConfig, CountedConfig, PretrainConfig
from groundup.training.counted import count_contexts, counted_batches, counted_lm
from groundup.training.curves import write_curve
from groundup.training.devices import pick_device
from groundup.training.loop import Log, fit
from groundup.training.objectives import causal_lm
from groundup.training.ranks import only_first_continues
from groundup.training.resume import Resume
from groundup.training.shards import SPLITS, open_shard, read_meta

Ids = NDArray[np.unsignedinteger]
Show = Callable[[str, str], None]  # receives a text and its name


def pretrain(
    decoder: Decoder,
    tokenizer: BPETokenizer,
    train: Ids,
    val: Ids,
    config: PretrainConfig,
    compute: ComputeConfig,
    *,
    log: Log = lambda metrics, step: None,
    show: Show = lambda text, name: None,
    resume: Resume | None = None,
) -> list[dict[str, float]]:
    """Pretrain a decoder, in place, to predict the next token.

    Args:
        decoder: the model.
        tokenizer: of the model, for the continuations.
        train: token ids (N,), as from `open_shard`.
        val: token ids (N,), of which the first `eval_tokens` are scored.
        config: the schedule, the prompts and the phase on counted contexts, if there is one.
        compute: the precision.
        log: see `fit`; the phase on counted contexts logs its loss and its seconds as step 0.
        show: receives continuations of `sample_prompts` at every evaluation.
        resume: see `fit`.

    Returns:
        The history of `fit`.

    Raises:
        BadInput: as `count_contexts`, `window_batches`, `fit` and `generate` do.
    """
    training = config.training
    if decoder.ngrams is not None:
        decoder.ngrams.learn(torch.from_numpy(train[:COUNTED].astype(np.int64)))
    if config.counted is not None:
        log(_pretrain_counted(decoder, train, config, config.counted, compute), 0)
    prompts = tokenizer.encode_batch(list(config.sample_prompts))
    pairs = minimal_pairs(config.grammar_pairs, config.seed) if config.grammar_pairs else []

    def evaluate(step: int) -> dict[str, float]:
        some = val[: config.eval_tokens]
        continuations = generate(
            decoder,
            prompts,
            max_new_tokens=config.sample_tokens,
            sampling=replace(CONTINUATION, seed=step),
            stop_ids=[tokenizer.eot_id],
        )
        texts = [tokenizer.decode(p + new) for p, new in zip(prompts, continuations, strict=True)]
        show("\n---\n".join(texts), f"samples/step_{step:06d}.txt")
        right = decisions(pairs, of_decoder(decoder, tokenizer)) if pairs else []
        grammar = {f"grammar/{name}": found for name, found in accuracies(pairs, right).items()}
        return {"val/loss": total_nats(decoder, some, tokenizer.eot_id) / len(some), **grammar}

    return fit(
        decoder,
        causal_lm,
        window_batches(
            train,
            decoder.config.context_length,
            training.batch_size,
            training.grad_accum_steps,
            seed=config.seed,
        ),
        training,
        compute,
        seed=config.seed,
        log=log,
        evaluate=evaluate,
        resume=resume,
        description="pretrain",
    )


def _pretrain_counted(
    decoder: Decoder, train: Ids, config: PretrainConfig, counted: CountedConfig, compute: ComputeConfig
) -> dict[str, float]:
    """Train the embeddings and the head of a decoder, in place, on the counts of the pairs of tokens in `train`.

    The schedule is that of the pretraining, shortened. The phase lasts seconds, so a resumed run repeats it.

    Returns:
        {"counted/loss": nats per context in the last step, "counted/seconds"}.
    """
    began = time.perf_counter()
    training, steps = config.training, counted.steps
    warmup = math.ceil(training.optimizer.warmup_steps * steps / training.max_steps)
    history = fit(
        decoder,
        counted_lm,
        counted_batches(count_contexts(train, decoder.config.vocab_size), counted.batch_size, config.seed),
        replace(
            training,
            max_steps=steps,
            max_seconds=None,
            eval_interval=0,
            patience=None,
            checkpoint_interval=0,
            optimizer=replace(training.optimizer, warmup_steps=warmup),
        ),
        compute,
        seed=config.seed,
        log=lambda metrics, step: None,
        description="pretrain on counted contexts",
    )
    return {"counted/loss": history[-1]["train/loss"], "counted/seconds": time.perf_counter() - began}


def pretrain_checkpoint(
    tokens: Path,
    tokenizer: Path,
    out: Path,
    curve: Path,
    state: Path,
    *,
    model: ModelParams,
    config: PretrainConfig,
    compute: ComputeConfig,
    log: Log,
    show: Show,
) -> dict[str, Any]:
    """Pretrain a decoder from random weights; write its checkpoint and the loss curve.

    Args:
        tokens: folder of shards, made with the tokenizer in the file `tokenizer`.
        tokenizer: file of a BPE tokenizer.
        out: folder of the checkpoint to write.
        curve: CSV file of the losses to write.
        state: folder of the resumable state; call `clear_states` once all outputs are stored.
        model: architecture and size.
        config: the schedule and the prompts.
        compute: device and precision.
        log: see `fit`.
        show: see `pretrain`.

    Returns:
        {"val": {"loss": nats per token, "bpb": bits per byte, "bytes"}, "tokens": number of tokens seen,
        "parameters", "steps"}. "val" is measured on the whole split.

    Raises:
        BadInput: the shards are missing or were made with another tokenizer; otherwise as `pretrain` does.
    """
    vocabulary = BPETokenizer.load(tokenizer)
    n_bytes: int = read_meta(tokens)["val"]["message_bytes"]
    train, val = (open_shard(tokens, split, tokenizer=vocabulary) for split in SPLITS)
    torch.manual_seed(config.seed)
    decoder = Decoder(model.config(vocabulary.vocab_size)).to(pick_device(compute))
    data = {split: fingerprint(tokens / f"{split}.bin") for split in SPLITS}
    resume = Resume(state, model=decoder.config, pretrain=config, compute=compute, data=data)
    history = pretrain(decoder, vocabulary, train, val, config, compute, log=log, show=show, resume=resume)
    only_first_continues()
    last = history[-1]
    nats = total_nats(decoder, val, vocabulary.eot_id)
    final = {"val/loss": nats / len(val), "val/bpb": bits_per_byte(nats, n_bytes)}
    log(final, int(last["step"]))
    sections: Mapping[str, Any] = {"model": asdict(model), "pretrain": asdict(config)}
    save_checkpoint(out, decoder, vocabulary, params=sections, data=data)
    write_curve(curve, history)
    return {
        "val": {"loss": round(final["val/loss"], 6), "bpb": round(final["val/bpb"], 6), "bytes": n_bytes},
        "tokens": int(last["tokens_seen"]),
        "parameters": sum(p.numel() for p in decoder.parameters()),
        "steps": int(last["step"]),
    }
