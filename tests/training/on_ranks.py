"""Small trainings on ranks: `python -m tests.training.on_ranks FOLDER RANKS`, and the same alone in `alone`."""

import os
import shutil
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from groundup.nn.decoder import Decoder
from groundup.training.config import ComputeConfig, TrainingConfig
from groundup.training.counted import count_contexts, counted_batches, counted_lm
from groundup.training.loop import fit
from groundup.training.objectives import Batch, causal_lm
from groundup.training.ranks import joined, ranks_of_training
from groundup.training.resume import Resume
from groundup.training.runtime import MEETING_FILE
from tests.tiny import ADAMW, CPU, MUON, training_config
from tests.training.toy import Interrupted, batches_of, new_model, stream

STEPS, STOP = 8, 5  # the step in which a training is interrupted; a state is saved after every second one
# With more iterations, Muon would enlarge the rounding errors of directions in which a gradient hardly points.
CONFIG = training_config(
    max_steps=STEPS,
    batch_size=5,
    grad_accum_steps=2,
    eval_interval=3,
    checkpoint_interval=2,
    optimizer=replace(MUON, newton_schulz_steps=2),
)
FEW = 2  # rows of a micro-batch that is too small for three ranks


def compute(distributed: Any) -> ComputeConfig:
    return replace(CPU, distributed=distributed, activation_checkpointing=distributed == "fsdp2")


# Muon, with matrices made orthogonal as a whole; and a table that is updated by row
TRAININGS: dict[str, tuple[TrainingConfig, ComputeConfig]] = {
    "ddp": (CONFIG, compute("ddp")),
    "fsdp2": (CONFIG, compute("fsdp2")),
    "by_row": (replace(CONFIG, optimizer=replace(ADAMW, ngram_lr=0.01)), compute("ddp")),
}


def train(
    config: TrainingConfig,
    compute: ComputeConfig = CPU,
    *,
    resume: Resume | None = None,
    stop: int | None = None,
) -> dict[str, Any]:
    """Train; return weights, history, the rows read, the steps that were logged."""
    rank, _ = ranks_of_training()
    model, rows, logged = new_model(dropout=0.0), list[Any](), list[int]()
    if rank:  # fit makes the ranks equal, whatever they start with
        torch.nn.init.ones_(model.wte.weight)

    def batches(step: int) -> list[Batch]:
        if step == stop:
            raise Interrupted
        found = batches_of(config)(step)
        return [found[0].part(0, FEW), found[1]]

    def objective(model: Decoder, batch: Batch) -> Any:
        rows.append(batch.idx.tolist())
        return causal_lm(model, batch)

    def log(metrics: Mapping[str, float], step: int) -> None:
        logged.append(step)

    def evaluate(step: int) -> dict[str, float]:
        assert ranks_of_training()[0] == 0
        return {"val/loss": float(causal_lm(model, batches_of(config)(0)[1])[0])}

    history: list[dict[str, float]] = []
    with suppress(Interrupted):
        history = fit(
            model, objective, batches, config, compute, seed=3, log=log, evaluate=evaluate, resume=resume
        )
    return {"weights": model.state_dict(), "history": history, "rows": rows, "logged": logged}


def train_on_counts(compute: ComputeConfig = CPU) -> dict[str, Any]:
    """Train on counted contexts, for which the blocks, and so most parameters, are not used."""
    model, ids = new_model(dropout=0.0), stream()
    history = fit(
        model,
        counted_lm,
        counted_batches(count_contexts(ids, 11), 7, seed=1),
        training_config(max_steps=3, batch_size=7, optimizer=MUON),
        compute,
        seed=3,
        log=lambda metrics, step: None,
    )
    return {"weights": model.state_dict(), "history": history}


def state_of(folder: Path, name: str) -> Resume:
    return Resume(folder / name, training=name, compute=TRAININGS[name][1])


def work(folder: Path) -> None:
    """Train everything on the ranks of this process, and save what each of them has."""
    rank, _ = ranks_of_training()
    found: dict[str, Any] = {}
    for name, (config, spread) in TRAININGS.items():
        found[name] = train(config, spread)
        for start in ("own", "alone"):  # the state of as many ranks, and that of a single process
            where = state_of(folder / start, name)
            if start == "own":
                found[f"{name} stopped"] = train(config, spread, resume=where, stop=STOP)
                if rank == 0:
                    for kept in ("kept", "kept_too"):
                        shutil.copytree(folder / start / name, folder / kept / name)
            found[f"{name} {start}"] = train(config, spread, resume=where)
    found["counted ddp"] = train_on_counts(compute("ddp"))
    found["counted fsdp2"] = train_on_counts(compute("fsdp2"))
    torch.save(found, folder / f"{rank}.pt")


def start_ranks(folder: Path, ranks: int) -> None:
    """Fork a process per rank, which spares them the imports; exit with 1 if one fails."""
    children = []
    for rank in range(ranks):
        child = os.fork()
        if child == 0:
            torch.set_num_threads(1)
            file = str(folder / "meeting")
            os.environ |= {
                "RANK": str(rank),
                "WORLD_SIZE": str(ranks),
                "LOCAL_RANK": str(rank),
                MEETING_FILE: file,
                "TQDM_DISABLE": "1",
            }
            try:
                with joined(torch.device("cpu")):
                    work(folder)
            except BaseException:  # noqa: BLE001  a fork must not return into its parent's code
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        children.append(child)
    ended = [os.waitpid(child, 0)[1] for child in children]
    sys.exit(any(ended))


if __name__ == "__main__":
    start_ranks(Path(sys.argv[1]), int(sys.argv[2]))
