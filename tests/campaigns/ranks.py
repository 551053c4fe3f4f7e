"""Kill trainings on 1 to 4 processes at random moments, go on with other numbers of processes, and compare.

    python -m tests.campaigns.ranks --kills 20 --seed 1

Each campaign trains a toy decoder to its end, `ddp` and `fsdp2`, and kills it on the way: one of its processes, as the
kernel does if memory is short, or all of them. The next attempt has another number of processes. The tokens that the
steps have read must be exactly those of an undisturbed training in one process, and the losses within 1e-4 of its.
The toy is trained in float64: in float32, rounding errors alone, which depend on the number of processes, become
larger than that after sixty steps, and hide whatever else may differ. Trainings that are killed and continued on the
same number must end with the same bytes as an undisturbed one on it.

Prints a JSON report; the exit status is 1 if a training differs.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch

from groundup.files import write_json
from groundup.training.loop import fit
from groundup.training.objectives import Batch, causal_lm
from groundup.training.ranks import joined, ranks_of_training
from groundup.training.resume import Resume
from groundup.training.runtime import MEETING_FILE
from tests.tiny import ADAMW, CPU, training_config
from tests.training.toy import batches_of, new_model, nowhere

Kind = Literal["ddp", "fsdp2"]
MOST = 4  # processes
NEAR = 1e-4  # of losses, in nats
CONFIG = training_config(
    max_steps=120,
    batch_size=5,  # which 2, 3 and 4 do not divide
    grad_accum_steps=2,
    eval_interval=0,
    checkpoint_interval=4,
    optimizer=replace(ADAMW, max_lr=1e-3),
)


def train(folder: Path, kind: Kind, attempt: int) -> None:
    """Train on the ranks of this process from the newest state on; write what each step reads, then the weights."""
    rank, ranks = ranks_of_training()
    model, step = new_model(dropout=0.0), 0
    (folder / "read").mkdir(exist_ok=True)
    with open(folder / "read" / f"{attempt:03d}_{rank}.jsonl", "a", encoding="utf-8") as read:

        def batches(number: int) -> Sequence[Batch]:
            nonlocal step
            step = number
            return batches_of(CONFIG)(number)

        def objective(model: Any, batch: Batch) -> Any:
            read.write(json.dumps([step, batch.idx.tolist()]) + "\n")
            read.flush()
            return causal_lm(model, batch)

        compute = replace(CPU, distributed=kind)
        resume = Resume(folder / "state", kind=kind)
        history = fit(model, objective, batches, CONFIG, compute, seed=3, log=nowhere, resume=resume)
    if rank == 0:
        torch.save(model.state_dict(), folder / "weights.pt")
        write_json(folder / "history.json", [row | {"ranks": ranks} for row in history])


class Attempt:
    """A training on forked processes, which spares them the imports."""

    def __init__(self, folder: Path, kind: Kind, attempt: int, ranks: int) -> None:
        self.children = []
        meeting = folder / f"meeting_{attempt}"
        for rank in range(ranks):
            child = os.fork()
            if child == 0:
                os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(ranks), "LOCAL_RANK": str(rank)}
                os.environ |= {MEETING_FILE: str(meeting), "TQDM_DISABLE": "1"}
                with open(folder / f"stderr_{attempt}_{rank}.txt", "w") as messages:
                    os.dup2(messages.fileno(), 2)
                try:
                    with joined(torch.device("cpu")):
                        train(folder, kind, attempt)
                except BaseException:  # noqa: BLE001  a fork must not return into its parent's code
                    traceback.print_exc()
                    os._exit(1)
                os._exit(0)
            self.children.append(child)

    def ended(self) -> bool:
        """Return whether a process has ended, without waiting for it."""
        return any(
            os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) for child in self.children
        )

    def kill(self, chosen: Sequence[int]) -> None:
        """Kill some of the processes, and end the others, as torchrun does."""
        for child in [*chosen, *self.children]:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)

    def wait(self) -> bool:
        """Wait for the end; return whether all processes have finished."""
        statuses = [os.waitpid(child, 0)[1] for child in self.children]
        return not any(statuses)


def lines_of(file: Path) -> list[Any]:
    """Return the whole lines of a file that a killed process may have written."""
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def disturbed(folder: Path, kind: Kind, kills: int, counts: Sequence[int], rng: random.Random) -> list[str]:
    """Train to the end, with kills on the way, each time on another number of processes if there are several.

    Returns:
        One line per kill: which processes were killed, and in which step.
    """
    folder.mkdir(parents=True)
    found: list[str] = []
    ranks = rng.choice(counts)
    for attempt in range(kills):
        running, began = Attempt(folder, kind, attempt, ranks), time.monotonic()
        wanted, done = 2 * rng.randrange(1, 10), list[Any]()  # micro-batches
        while len(done) <= wanted and not running.ended() and time.monotonic() - began < 300:
            done = lines_of(folder / "read" / f"{attempt:03d}_0.jsonl")
            time.sleep(0.005)
        time.sleep(rng.random() * 0.05)  # so that some kills hit the saving of a state
        one = rng.random() < 0.5
        running.kill([rng.choice(running.children)] if one else running.children)
        if running.wait():
            sys.exit(
                f"{kind}: the training ended before kill {attempt + 1}; expected more steps than kills take"
            )
        found.append(f"{'one' if one else 'all'} of {ranks}, step {done[-1][0] if done else 'none'}")
        ranks = rng.choice([n for n in counts if n != ranks] or counts)
    if not Attempt(folder, kind, kills, ranks).wait():
        sys.exit(f"{kind}: the last attempt, on {ranks} processes, failed; its messages are in {folder}")
    return found


def positions(folder: Path) -> dict[int, list[Any]]:
    """Return the rows that each step read in its last attempt, one list per micro-batch, joined over the processes."""
    found: dict[int, list[Any]] = {}
    for first in sorted((folder / "read").glob("*_0.jsonl")):
        attempt = first.name.partition("_")[0]
        ranks = [lines_of(file) for file in sorted(first.parent.glob(f"{attempt}_*.jsonl"))]
        read: dict[int, list[Any]] = {}
        for parts in zip(*ranks, strict=False):  # a killed attempt's last micro-batch is not in all of them
            assert len({step for step, _ in parts}) == 1
            read.setdefault(parts[0][0], []).append([row for _, rows in parts for row in rows])
        found |= read
    return found


def compared(folder: Path, undisturbed: Path) -> dict[str, Any]:
    """Compare a training with one that nothing disturbed."""
    ours, theirs = (json.loads((place / "history.json").read_text()) for place in (folder, undisturbed))
    weights, expected = (
        torch.load(place / "weights.pt", weights_only=True) for place in (folder, undisturbed)
    )
    return {
        "same tokens": positions(folder) == positions(undisturbed),
        "largest difference of a loss": max(
            abs(a["train/loss"] - b["train/loss"]) for a, b in zip(ours, theirs, strict=True)
        ),
        "same bytes": all(torch.equal(weights[name], expected[name]) for name in expected),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20, help="per training")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    rng, passed, report = random.Random(options.seed), True, dict[str, Any]()
    with tempfile.TemporaryDirectory(prefix="groundup-ranks-") as temporary:
        folder = Path(temporary)
        disturbed(folder / "alone", "ddp", 0, [1], rng)
        for kind in ("ddp", "fsdp2"):
            for name, counts in (("changing", range(1, MOST + 1)), ("two", [2])):
                place = folder / f"{kind} {name}"
                killed = disturbed(place, kind, options.kills, counts, rng)
                other = folder / "alone"
                if name == "two":
                    other = folder / f"{kind} undisturbed"
                    disturbed(other, kind, 0, counts, rng)
                found = compared(place, other)
                good = found["same tokens"] and found["largest difference of a loss"] <= NEAR
                passed &= good and (name == "changing" or found["same bytes"])
                report[place.name] = found | {"kills": killed}
                print(f"{place.name}: {found}", file=sys.stderr, flush=True)
    print(json.dumps(report | {"passed": passed}, indent=2))
    sys.exit(not passed)


if __name__ == "__main__":
    main()
