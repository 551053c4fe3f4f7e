"""Compare recipes of pretraining by bits per byte and seconds, on a part of the training text.

    python -m tests.campaigns.recipe data/prepared/corpus tests/campaigns/recipes.yaml reports/benchmarks/recipes.csv

The list has, for each recipe, the values of params.yaml that it changes. One row of the table is written per recipe and
seed; rows that exist are not computed again, so the campaign can be interrupted.

val is the held-out text of the pipeline's metrics, so no recipe is chosen on it. Recipes are trained on the training
text without 300 conversations, and measured on these. A conversation that shares 13 words with another one is not among
them: on a plain random sample, memorised text makes the counts of 5-grams look better by 0.13 bits per byte.

Seconds are those of the training steps and of the phase on counted contexts, without evaluations. Compare them only
between runs on one quiet machine. With --seconds every recipe gets the same time of training steps instead of their
number (a phase comes on top), and warms up for 2% of it; the steps that the best one made are then its `max_steps`.
"""

import argparse
import csv
import json
import tempfile
from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from groundup.tasks.pretraining import pretrain_checkpoint
from groundup.text.documents import text_of
from groundup.text.jsonl import read_jsonl, write_jsonl
from groundup.text.overlap import linked_groups
from groundup.tokenizers.bpe import BPETokenizer, TokenizerConfig
from groundup.training.shards import read_documents, write_shards
from pipelines.params import MainParams, load_params
from tests.clone import ROOT

DEVELOPMENT, SPLIT_SEED = 300, 7
COLUMNS = ("recipe", "seed", "bpb", "seconds", "steps", "tokens", "parameters", "threads", "changes")


def split(corpus: Path, out: Path) -> None:
    """Write train.jsonl and val.jsonl, the conversations that measure a recipe, from the training text."""
    rows = read_jsonl(corpus / "train.jsonl")
    groups = linked_groups([text_of(row["messages"]) for row in rows])
    size = Counter(groups)
    alone = [i for i, group in enumerate(groups) if size[group] == 1]
    chosen = set(np.random.default_rng(SPLIT_SEED).permutation(alone)[:DEVELOPMENT].tolist())
    out.mkdir(exist_ok=True)
    write_jsonl(out / "train.jsonl", (row for i, row in enumerate(rows) if i not in chosen))
    write_jsonl(out / "val.jsonl", (row for i, row in enumerate(rows) if i in chosen))


def timed(seconds: float) -> dict[str, Any]:
    """Return the changes that give a training this time instead of a number of steps."""
    steps = 100_000  # more than are possible
    training = {
        "max_seconds": seconds,
        "max_steps": steps,
        "eval_interval": 0,
        "optimizer.warmup_steps": steps // 50,
    }
    return {f"pretrain.training.{name}": value for name, value in training.items()}


def changed(changes: Mapping[str, Any], seed: int) -> MainParams:
    """Return the values of params.yaml with some of them changed, as by `dvc exp run -S`."""
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    for key, value in {**changes, "pretrain.seed": seed}.items():
        *path, last = key.split(".")
        section = values
        for name in path:
            section = section[name]
        section[last] = value
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "params.yaml").write_text(yaml.safe_dump(values))
        params: MainParams = load_params("main", Path(folder))
    return params


@cache
def tokenized(folder: Path, config: TokenizerConfig) -> tuple[Path, Path]:
    """Train a tokenizer on the training part in `folder` and encode both parts; return its file and the shards."""
    assert config.kind == "bpe"
    name = f"{config.vocab_size}_{config.pattern}"
    file, shards = folder / f"{name}.json", folder / name
    if not shards.exists():
        texts = [text_of(messages) for messages in read_documents(folder / "train.jsonl")]
        tokenizer = BPETokenizer.train(
            texts, config.vocab_size, pattern=config.pattern, special_tokens=config.special_tokens
        )
        tokenizer.save(file)
        write_shards(folder, tokenizer, shards)
    return file, shards


def measure(folder: Path, params: MainParams) -> dict[str, Any]:
    """Train a recipe; return its bits per byte on the development part and the seconds of its steps."""
    file, shards = tokenized(folder, params.tokenizer)
    torch.set_num_threads(params.compute.threads)
    seconds, seen = 0.0, 0.0

    def log(row: Mapping[str, float], step: int) -> None:
        nonlocal seconds, seen
        if "tokens_per_second" in row:
            seconds += (row["tokens_seen"] - seen) / row["tokens_per_second"]
            seen = row["tokens_seen"]
        seconds += row.get("counted/seconds", 0.0)

    with tempfile.TemporaryDirectory() as scratch:
        figures = pretrain_checkpoint(
            shards,
            file,
            *(Path(scratch, name) for name in ("model", "curve.csv", "state")),
            model=params.model,
            config=params.pretrain,
            compute=params.compute,
            log=log,
            show=lambda text, name: None,
        )
    return {
        "bpb": figures["val"]["bpb"],
        "seconds": round(seconds, 1),
        **{name: figures[name] for name in ("steps", "tokens", "parameters")},
        "threads": params.compute.threads,
    }


def main() -> None:
    """Measure every recipe and seed that the table lacks."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", type=Path)
    parser.add_argument("recipes", type=Path)
    parser.add_argument("table", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--seconds", type=float, help="of training for every recipe, instead of its steps")
    parser.add_argument("--work", type=Path, default=Path("data/state/recipes"), help="split text and tokens")
    arguments = parser.parse_args()
    recipes = yaml.safe_load(arguments.recipes.read_text())
    time = timed(arguments.seconds) if arguments.seconds else {}
    if not (arguments.work / "val.jsonl").exists():
        arguments.work.mkdir(parents=True, exist_ok=True)
        split(arguments.corpus, arguments.work)
    known = list(csv.DictReader(arguments.table.open())) if arguments.table.exists() else []
    done = {(row["recipe"], int(row["seed"])) for row in known}
    with arguments.table.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if not known:
            writer.writeheader()
        for name, changes in recipes.items():
            for seed in arguments.seeds:
                if (name, seed) in done:
                    continue
                found = measure(arguments.work, changed({**(changes or {}), **time}, seed))
                writer.writerow({"recipe": name, "seed": seed, **found, "changes": json.dumps(changes or {})})
                file.flush()


if __name__ == "__main__":
    main()
