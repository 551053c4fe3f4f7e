"""What a tokenizer does to the model: one decoder, text and time for all; then spam finetuning of the same length.

Every seed stands for its own weights, order of the text and order of the messages. The trainings are short;
interrupted, the stage begins anew.
"""

import math
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from groundup.files import write_json
from groundup.text.jsonl import read_splits
from groundup.text.labels import SPAM, THRESHOLD
from groundup.tokenizers.loading import load_tokenizer
from groundup.tracking import Run
from groundup.training.config import ComputeConfig, LadderConfig


def main(
    run: Run,
    tokens: Path,
    tokenizer: Path,
    spam: Path,
    metrics: Path,
    *,
    ladder: LadderConfig,
    compute: ComputeConfig,
) -> None:
    """Write the tokenizer's row of the table: the model's size, and each seed's results."""
    import numpy as np
    import torch

    from groundup.evaluation.language_model import bits_per_byte, total_nats
    from groundup.evaluation.metrics import f1
    from groundup.nn.decoder import Decoder
    from groundup.tasks import classification
    from groundup.training.batching import window_batches
    from groundup.training.devices import pick_device
    from groundup.training.loop import fit
    from groundup.training.objectives import causal_lm
    from groundup.training.shards import open_shard, read_meta

    names = load_tokenizer(tokenizer)
    meta = read_meta(tokens)
    train, val = (open_shard(tokens, split, tokenizer=names) for split in ("train", "val"))
    bytes_per_token = meta["train"]["message_bytes"] / meta["train"]["tokens"]
    splits = read_splits(spam, ("train", "test"))
    labels = [row["label"] for row in splits["train"]]
    truth = np.array([row["label"] == SPAM for row in splits["test"]])
    training, recipe = ladder.training, ladder.finetune
    shape, device = ladder.model.config(names.vocab_size), pick_device(compute)
    ids = {
        split: classification.encode_texts(names, [row["text"] for row in rows], shape.context_length)
        for split, rows in splits.items()
    }
    run.params({"tokenizer": tokenizer.stem})
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for seed in recipe.seeds:

        def log(row: Mapping[str, float], step: int, seed: int = seed) -> None:
            # a token is more text with one tokenizer than with another: only losses per byte compare
            bits = row["train/loss"] / math.log(2) / bytes_per_token
            run.log({f"seed_{seed}/train/bpb": bits, f"seed_{seed}/lr": row["lr"]}, step)

        torch.manual_seed(seed)
        decoder = Decoder(shape).to(device)
        sizes = {name: p.numel() for name, p in decoder.named_parameters()}
        start, busy = time.perf_counter(), time.process_time()
        history = fit(
            decoder,
            causal_lm,
            window_batches(train, shape.context_length, training.batch_size, training.grad_accum_steps, seed),
            training,
            compute,
            seed=seed,
            log=log,
            description=f"{tokenizer.stem}, seed {seed}",
        )
        seconds, busy = time.perf_counter() - start, time.process_time() - busy
        seen = history[-1]["tokens_seen"]
        results = {
            "val_bpb": bits_per_byte(total_nats(decoder, val, names.eot_id), meta["val"]["message_bytes"]),
            "tokens": seen,
            "bytes": seen * bytes_per_token,
            "steps": history[-1]["step"],
            "tokens_per_second": seen / seconds,
            "seconds": seconds,
            # much less than at other times: others had the rest
            "cpu_share": busy / (seconds * compute.threads),
        }
        model, _ = classification.finetune(
            decoder,
            ids["train"],
            labels,
            recipe,
            compute,
            seed=seed,
            description=f"{tokenizer.stem}, spam, seed {seed}",
        )
        called = np.array(classification.predict_spam(model, ids["test"])) >= THRESHOLD
        results["spam_f1"] = float(f1(truth, called, np.ones((1, len(truth))))[0])
        for key, value in results.items():
            found[key][f"seed_{seed}"] = round(value, 6)
        run.log({f"seed_{seed}/{key}": value for key, value in results.items()})
    tables = sum(n for name, n in sizes.items() if name.startswith(("wte.", "wpe.", "lm_head.")))
    row: dict[str, Any] = {
        "parameters": sum(sizes.values()),
        "embedding_parameters": tables,
        "cut_messages": round(sum(len(i) == shape.context_length for i in ids["test"]) / len(truth), 6),
        **found,
    }
    write_json(metrics, row)
    means = {key: float(np.mean([*values.values()])) for key, values in found.items()}
    run.log({"parameters": row["parameters"], "embedding_parameters": tables, **means})
