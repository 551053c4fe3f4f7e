"""Record runs for the loss law of `groundup plan`, and fit it: `python -m tests.benchmarks.loss_law --minutes 40`.

Runs of many shapes (a Sobol sequence, so that any number of them covers the space) are trained by the recipe of
params.yaml on data/prepared/corpus, as the stage pretrain does it, until the time is over. Each is added to
reports/benchmarks/loss_law.jsonl. Then the law and the facts of the default data are written into
src/groundup/planning. A later call adds further runs; `--again` first discards those of an earlier recipe, and
`--minutes 0` only fits. The last run of the stage pretrain, if there is one, counts as a further run.
"""

import argparse
import csv
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

import numpy as np
import torch

from groundup.evaluation.language_model import bits_per_byte, total_nats
from groundup.files import read_json, write_json
from groundup.nn.config import ModelParams, NgramConfig
from groundup.nn.decoder import Decoder
from groundup.planning.facts import (
    REFERENCE,
    Facts,
    Folders,
    as_reference,
    bytes_per_token,
    gather,
    reference,
)
from groundup.planning.fitting import FITTED_TO, LossPoint, RecordedRun, fit_law, read_runs, write_runs
from groundup.planning.law import PRIORS, Shape, schedule, write_law
from groundup.planning.params import vocab_size_of
from groundup.tasks.pretraining import pretrain
from groundup.text.documents import text_of
from groundup.tokenizers.bpe import BPETokenizer
from groundup.training.devices import pick_device
from groundup.training.shards import SPLITS, open_shard, read_documents, read_meta, write_shards
from pipelines.params import MainParams, load_params

CORPUS = Path("data/prepared/corpus")
RUNS = Path("reports/benchmarks/loss_law.jsonl")
METRICS, CURVE = Path("reports/metrics/pretrain.json"), Path("reports/curves/pretrain.csv")
SCRATCH = Path("data/state/loss_law")
SIZES = (512, 1024, 2048, 4096, 8192)  # of the tokenizers whose bytes per token are written down
VOCABULARIES = (1024, 2048, 4096, 8192)
LAYERS = (1, 2, 2, 3, 4, 6)
WIDTHS = (64, 96, 128, 160, 192, 256)
CONTEXTS = (128, 256, 256, 512)
BATCHES = (4, 4, 8, 8, 16)
ROWS = (0, 0, 32768, 131072, 524288)  # of n-gram tables; 0 = none
SHARES = (1, 1, 1, 1, 1, 1, 1, 1 / 4)  # of the text, so that some runs read it several times
TOKENS = (1e5, 2.5e6)
STEPS = (100, 4000)
TERAFLOPS = 2.0  # at most, for a run
POINTS = (0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0)  # shares of a run at which the mean loss is recorded
WINDOW = 20


@dataclass(frozen=True)
class Trial:
    """One run to record."""

    vocab_size: int
    model: ModelParams
    batch_size: int
    steps: int
    share: float

    @property
    def teraflops(self) -> float:
        """Work of the matrix products, about."""
        m = self.model
        weights = (
            12 * m.n_layer * m.n_embd**2
            + m.n_embd * self.vocab_size
            + m.n_layer * m.n_embd * m.context_length
        )
        return 6 * weights * (self.steps * self.batch_size * m.context_length + 1e5) / 1e12


def trials(recipe: NgramConfig | None, texts: Mapping[int, int], skip: int) -> Iterator[Trial]:
    """Yield the trials in the order of the sequence.

    Args:
        recipe: the n-gram embeddings, of which the rows are varied; None = none.
        texts: number of tokens of the training text, by size of the vocabulary.
        skip: how many are left out at the beginning.
    """
    from scipy.stats import qmc

    sequence, found = qmc.Sobol(8, seed=0), 0
    while True:
        place = sequence.random(1)[0]
        vocab, layers, width, context, batch, rows = (
            values[min(int(u * len(values)), len(values) - 1)]
            for u, values in zip(place, (VOCABULARIES, LAYERS, WIDTHS, CONTEXTS, BATCHES, ROWS), strict=False)
        )
        share = SHARES[min(int(place[6] * len(SHARES)), len(SHARES) - 1)]
        tokens = TOKENS[0] * (TOKENS[1] / TOKENS[0]) ** place[7]
        steps = round(tokens / (batch * context))
        heads = width // 64 if width % 64 == 0 else width // 32
        ngram = replace(recipe, rows=rows) if recipe and rows else None
        model = ModelParams("modern", context, layers, heads, heads, width, 0.0, ngram)
        trial = Trial(vocab, model, batch, steps, share)
        passes = tokens / (share * texts[vocab])
        if STEPS[0] <= steps <= STEPS[1] and passes <= FITTED_TO and trial.teraflops <= TERAFLOPS:
            found += 1
            if found > skip:
                yield trial


def record(trial: Trial, params: MainParams, difficulty: float) -> RecordedRun:
    """Train one run as the stage pretrain does, and measure it."""
    file, shards = tokenized(trial.vocab_size)
    tokenizer = BPETokenizer.load(file)
    meta = read_meta(shards)
    whole, val = (open_shard(shards, split, tokenizer=tokenizer) for split in SPLITS)
    train = whole[: max(round(len(whole) * trial.share), trial.model.context_length + 1)]
    training = replace(
        params.pretrain.training,
        max_steps=trial.steps,
        max_seconds=None,
        batch_size=trial.batch_size,
        grad_accum_steps=1,
        eval_interval=0,
        patience=None,
        checkpoint_interval=0,
    )
    config = replace(params.pretrain, training=training)
    torch.manual_seed(config.seed)
    decoder = Decoder(trial.model.config(tokenizer.vocab_size)).to(pick_device(params.compute))
    history = pretrain(decoder, tokenizer, train, val, config, params.compute)
    nats = total_nats(decoder, val, tokenizer.eot_id)
    shape = Shape.of(
        trial.model,
        config,
        tokenizer.vocab_size,
        meta["train"]["message_bytes"] / meta["train"]["tokens"],
        meta["train"]["message_bytes"] * len(train) / meta["train"]["tokens"],
        difficulty,
    )
    losses = [row["train/loss"] for row in history]
    return RecordedRun(
        shape, bits_per_byte(nats, meta["val"]["message_bytes"]), tuple(points(losses, schedule(training)))
    )


def last_pretraining(params: MainParams, facts: Facts) -> RecordedRun | None:
    """Return the last run of the stage pretrain, which is larger than the trials; None if there is none."""
    if not (METRICS.exists() and CURVE.exists()):
        return None
    with CURVE.open(encoding="utf-8", newline="") as lines:
        losses = [float(row["train/loss"]) for row in csv.DictReader(lines)]
    training = params.pretrain.training
    if len(losses) != training.max_steps:
        return None
    shape = Shape.of(
        params.model,
        params.pretrain,
        facts.vocab_size,
        facts.bytes_per_token,
        facts.train_bytes,
        facts.difficulty,
    )
    return RecordedRun(shape, read_json(METRICS)["val"]["bpb"], tuple(points(losses, schedule(training))))


def points(losses: Sequence[float], rates: Sequence[float]) -> Iterator[LossPoint]:
    """Yield the mean loss of WINDOW steps at each of POINTS, from step 50 on."""
    full_steps = list(accumulate(rates))
    for share in POINTS:
        step = round(share * len(losses))
        if step >= 50:
            mean = float(np.mean(losses[step - WINDOW : step]))
            yield LossPoint(step, full_steps[step - 1], rates[step - 1], round(mean, 4))


def tokenized(vocab_size: int) -> tuple[Path, Path]:
    """Return the file of a tokenizer of this size and its shards of the corpus; they are made once."""
    file, shards = SCRATCH / f"{vocab_size}.json", SCRATCH / str(vocab_size)
    if not file.exists():
        texts = [text_of(messages) for messages in read_documents(CORPUS / "train.jsonl")]
        BPETokenizer.train(texts, vocab_size, pattern="gpt2", special_tokens=("<|endoftext|>",)).save(file)
    if not shards.exists():
        write_shards(CORPUS, BPETokenizer.load(file), shards)
    return file, shards


def main() -> None:
    """Record runs for the given time, then fit."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=40.0, help="time for new runs; 0 only fits")
    parser.add_argument("--again", action="store_true", help="discard the recorded runs")
    arguments = parser.parse_args()
    params: MainParams = load_params("main")
    folders = Folders.of(Path("data/prepared"))
    # GPT-2's tokenizer is not trained here
    sizes = {int(size): value for size, value in reference()["bytes_per_token"].items()}
    sizes |= {size: bytes_per_token(tokenized(size)[1]) for size in SIZES}
    facts = gather(folders, vocab_size_of(params.tokenizer), params.finetune_instructions.prompt_style)
    write_json(REFERENCE, as_reference(facts, sizes))
    runs = [] if arguments.again or not RUNS.exists() else read_runs(RUNS)
    until = time.monotonic() + arguments.minutes * 60
    texts = {size: read_meta(tokenized(size)[1])["train"]["tokens"] for size in VOCABULARIES}
    for trial in trials(params.model.ngram, texts, skip=len(runs)):
        if time.monotonic() > until:
            break
        runs.append(record(trial, params, facts.difficulty))
        write_runs(runs, RUNS)
    last = last_pretraining(params, facts)
    if last and last not in runs:
        runs.append(last)
        write_runs(runs, RUNS)
    law = fit_law(runs, params.pretrain.training.optimizer.kind)
    write_law(law)
    print(f"{len(runs)} runs; noise {law.noise:.1%} of the bits; gap {law.gap:.1%}")
    print({name: round(value, 3) for name, value in zip(PRIORS, law.theta, strict=True)})


if __name__ == "__main__":
    main()
