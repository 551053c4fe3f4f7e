"""Compare plans with runs: `python -m tests.benchmarks.plan_accuracy` plans and runs up to 12 pretrainings.

None of them is among the runs that the loss law was fitted to. For each, seconds, peak memory and bits per byte are
planned, then `pretrain_checkpoint` runs in a process of its own and is measured. Needs data/prepared of the default
pipeline and an otherwise idle machine. The results are added to reports/benchmarks/plan_accuracy.jsonl;
`--show` only prints the table of what is there, with the bits per byte of the present law.
"""

import argparse
import tempfile
import time
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from groundup.nn.config import ModelParams
from groundup.planning import probe
from groundup.planning.facts import Facts, Folders, bytes_per_token, gather
from groundup.planning.law import Shape, load_law
from groundup.planning.measuring import in_child, peak_memory
from groundup.planning.probe import Cost
from groundup.text.jsonl import read_jsonl, write_jsonl
from groundup.training.config import ComputeConfig, PretrainConfig
from pipelines.params import MainParams, load_params
from tests.benchmarks.loss_law import tokenized

RESULTS = Path("reports/benchmarks/plan_accuracy.jsonl")
# vocabulary, layers, width, heads, context, batch, steps, rows of n-gram tables
TRIALS = (
    (1500, 2, 96, 3, 192, 6, 300, 400_000),
    (3000, 1, 160, 5, 256, 8, 120, 0),
    (2048, 4, 80, 5, 128, 12, 220, 200_000),
    (6000, 1, 64, 1, 384, 4, 250, 100_000),
    (1024, 3, 128, 2, 256, 8, 120, 0),
    (2048, 2, 128, 2, 256, 8, 150, 400_000),
    (3000, 2, 64, 2, 128, 16, 200, 50_000),
    (1500, 5, 96, 3, 128, 8, 250, 0),
    (2048, 1, 224, 7, 256, 6, 130, 200_000),
    (4096, 2, 192, 3, 128, 4, 220, 100_000),
    (1024, 2, 64, 1, 512, 6, 200, 50_000),
    (6000, 3, 96, 3, 256, 4, 180, 0),
)


def measure(
    model: ModelParams, config: PretrainConfig, compute: ComputeConfig, vocab_size: int
) -> tuple[Cost, float]:
    """Run a pretraining; return its cost and its bits per byte."""
    from groundup.tasks.pretraining import pretrain_checkpoint

    file, shards = tokenized(vocab_size)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        start = time.perf_counter()
        figures = pretrain_checkpoint(
            shards,
            file,
            out / "model",
            out / "curve.csv",
            out / "state",
            model=model,
            config=config,
            compute=compute,
            log=lambda metrics, step: None,
            show=lambda text, name: None,
        )
        seconds = time.perf_counter() - start
    return Cost({"all": seconds}, peak_memory()), figures["val"]["bpb"]


def compare(trial: tuple[int, ...], params: MainParams, facts: Facts) -> dict[str, Any]:
    """Plan and measure one trial."""
    vocab, layers, width, heads, context, batch, steps, rows = trial
    recipe = params.model.ngram
    ngram = replace(recipe, rows=rows) if recipe and rows else None
    model = ModelParams("modern", context, layers, heads, heads, width, 0.0, ngram)
    training = replace(params.pretrain.training, batch_size=batch, max_steps=steps)
    config = replace(params.pretrain, training=training)
    own = replace(facts, vocab_size=vocab, bytes_per_token=bytes_per_token(tokenized(vocab)[1]))
    planned = in_child(partial(probe.pretraining, model, config, params.compute, own), "pretrain")
    measured, bits = in_child(partial(measure, model, config, params.compute, vocab), "pretrain")
    shape = Shape.of(model, config, vocab, own.bytes_per_token, own.train_bytes, own.difficulty)
    return {
        "trial": trial,
        "planned_seconds": planned.total_seconds,
        "parts": dict(planned.seconds),
        "seconds": measured.total_seconds,
        "planned_memory": planned.memory,
        "memory": measured.memory,
        "bits": bits,
        "shape": asdict(shape),
    }


def show(rows: list[dict[str, Any]]) -> None:
    """Print the table of results."""
    law = load_law()
    print(
        "vocabulary, layers, width, heads, context, batch, steps, rows | seconds planned, measured | "
        "MB planned, measured | bits per byte planned (interval), measured"
    )
    for row in rows:
        bits, low, high = law.bits(Shape(**row["shape"]))
        print(
            f"{row['trial']} | {row['planned_seconds']:.1f} {row['seconds']:.1f} "
            f"({row['planned_seconds'] / row['seconds'] - 1:+.1%}) | {row['planned_memory'] / 1e6:.0f} "
            f"{row['memory'] / 1e6:.0f} ({row['planned_memory'] / row['memory'] - 1:+.1%}) | "
            f"{bits:.3f} ({low:.3f} to {high:.3f}) {row['bits']:.3f} ({bits - row['bits']:+.3f})"
        )


def main() -> None:
    """Measure the trials that have no result yet, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--show", action="store_true", help="only print the table")
    parser.add_argument("--trials", type=int, default=len(TRIALS), help="how many to measure now")
    arguments = parser.parse_args()
    rows = list(read_jsonl(RESULTS)) if RESULTS.exists() else []
    if not arguments.show:
        params: MainParams = load_params("main")
        facts = gather(Folders.of(Path("data/prepared")), 2048, params.finetune_instructions.prompt_style)
        for trial in TRIALS[len(rows) :][: arguments.trials]:
            rows.append(compare(trial, params, facts))
            RESULTS.parent.mkdir(parents=True, exist_ok=True)
            write_jsonl(RESULTS, rows)
            show(rows[-1:])
    show(rows)


if __name__ == "__main__":
    main()
