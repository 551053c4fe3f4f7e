"""The ladder measures how a tokenizer affects a model.

Equal decoders, one per tokenizer and seed, are trained on the same text for the same time, then finetuned for
spam. The seed determines the weights, the order of the text and the order of the messages.
"""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from groundup.evaluation.language_model import bits_per_byte, total_nats
from groundup.evaluation.metrics import f1
from groundup.nn.decoder import Decoder
from groundup.tasks import classification
from groundup.text.jsonl import read_splits
from groundup.text.labels import SPAM, THRESHOLD
from groundup.tokenizers.loading import Tokenizer, load_tokenizer
from groundup.training.batching import window_batches
from groundup.training.config import ComputeConfig, LadderConfig
from groundup.training.devices import pick_device
from groundup.training.loop import Log, fit
from groundup.training.objectives import causal_lm
from groundup.training.shards import open_shard, read_meta

# names of parameters that turn ids or positions into vectors, or vectors into logits
TABLES = ("wte.", "wpe.", "lm_head.")
Rows = Mapping[str, list[dict[str, Any]]]


def measure_tokenizer(
    tokens: Path,
    tokenizer: Path,
    spam: Path,
    *,
    config: LadderConfig,
    compute: ComputeConfig,
    log: Callable[[int], Log],
) -> dict[str, Any]:
    """Measure one tokenizer of the ladder: train a decoder with it and finetune it for spam, once per seed.

    Args:
        tokens: folder of the corpus as ids of the tokenizer.
        tokenizer: file of the tokenizer.
        spam: folder of the spam splits.
        config: the decoder, its training and the finetuning.
        compute: device and precision.
        log: seed -> the function that receives "train/bpb" of every step, and results such as "val_bpb" at the
            end.

    Returns:
        "parameters" and "embedding_parameters" of the decoder. "cut_messages": share of the test messages
        that fill the context, because they were cut or fit exactly. The other values are {"seed_<n>": value}:
        "val_bpb" (bits per byte on val), "spam_f1" on test, and of the training "tokens", "bytes", "steps",
        "tokens_per_second", "seconds" and "cpu_share" (CPU time over the time of all threads).

    Raises:
        BadInput: the ids were made with another tokenizer; see also `fit`.
    """
    vocabulary, splits = load_tokenizer(tokenizer), read_splits(spam, ("train", "test"))
    shape = config.model.config(vocabulary.vocab_size)
    ids = {
        name: classification.encode_texts(vocabulary, [row["text"] for row in rows], shape.context_length)
        for name, rows in splits.items()
    }
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for seed in config.finetune.seeds:
        torch.manual_seed(seed)
        decoder = Decoder(shape).to(pick_device(compute))
        sizes = {name: p.numel() for name, p in decoder.named_parameters()}
        results = _train(decoder, vocabulary, tokens, tokenizer.stem, config, compute, seed, log(seed))
        results["spam_f1"] = _spam_f1(decoder, splits, ids, tokenizer.stem, config, compute, seed)
        for key, value in results.items():
            found[key][f"seed_{seed}"] = round(value, 6)
        log(seed)(results, int(results["steps"]))
    return {
        "parameters": sum(sizes.values()),
        "embedding_parameters": sum(n for name, n in sizes.items() if name.startswith(TABLES)),
        "cut_messages": round(sum(len(i) == shape.context_length for i in ids["test"]) / len(ids["test"]), 6),
        **found,
    }


def _train(
    decoder: Decoder,
    vocabulary: Tokenizer,
    tokens: Path,
    name: str,
    config: LadderConfig,
    compute: ComputeConfig,
    seed: int,
    log: Log,
) -> dict[str, float]:
    """Train the decoder on the corpus; return its bits per byte on val, and facts about the training."""
    meta = read_meta(tokens)
    train, val = (open_shard(tokens, split, tokenizer=vocabulary) for split in ("train", "val"))
    bytes_per_token = meta["train"]["message_bytes"] / meta["train"]["tokens"]
    training = config.training

    def log_per_byte(row: Mapping[str, float], step: int) -> None:
        # a token's amount of text depends on the tokenizer, so only losses per byte can be compared
        bits = row["train/loss"] / math.log(2) / bytes_per_token
        log({"train/bpb": bits, "lr": row["lr"], "flop": row.get("flop", 0.0)}, step)

    start, busy = time.perf_counter(), time.process_time()
    sizes = (decoder.config.context_length, training.batch_size, training.grad_accum_steps)
    history = fit(
        decoder,
        causal_lm,
        window_batches(train, *sizes, seed),
        training,
        compute,
        seed=seed,
        log=log_per_byte,
        description=f"{name}, seed {seed}",
    )
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    seen = history[-1]["tokens_seen"]
    nats = total_nats(decoder, val, vocabulary.eot_id)
    return {
        "val_bpb": bits_per_byte(nats, meta["val"]["message_bytes"]),
        "tokens": seen,
        "bytes": seen * bytes_per_token,
        "steps": history[-1]["step"],
        "tokens_per_second": seen / seconds,
        "seconds": seconds,
        # low if other processes used the CPU
        "cpu_share": busy / (seconds * compute.threads),
    }


def _spam_f1(
    decoder: Decoder,
    splits: Rows,
    ids: Mapping[str, list[list[int]]],
    name: str,
    config: LadderConfig,
    compute: ComputeConfig,
    seed: int,
) -> float:
    """Finetune the decoder, in place, as a spam classifier; return its F1 on test."""
    labels = [row["label"] for row in splits["train"]]
    truth = np.array([row["label"] == SPAM for row in splits["test"]])
    model, _ = classification.finetune(
        decoder,
        ids["train"],
        labels,
        config.finetune,
        compute,
        seed=seed,
        description=f"{name}, spam, seed {seed}",
    )
    predicted = np.array(classification.predict_spam(model, ids["test"])) >= THRESHOLD
    return float(f1(truth, predicted, np.ones((1, len(truth))))[0])
