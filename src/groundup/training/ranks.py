"""The processes of a training on many processes: each has a rank, and all do the same steps, each with its rows.

torchrun starts them (see pipelines/processes.py and docs/distributed.md). A training in one process needs none of this.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Protocol, TypeVar, runtime_checkable

import torch
import torch.distributed as dist
from torch import Tensor

from groundup.errors import BadInput
from groundup.training.runtime import MEETING_FILE, started_ranks

# The other ranks wait while rank 0 evaluates or writes. torchrun, not this limit, notices that a process has died.
PATIENCE = timedelta(hours=6)

T = TypeVar("T")


class PeerLost(BadInput):
    """Raised in the processes that are left when another one of the training has died."""


@runtime_checkable
class DivisibleBatch(Protocol):
    """A micro-batch whose rows can be divided among the ranks."""

    @property
    def rows(self) -> int:
        """Number of rows."""
        ...

    def part(self, start: int, stop: int) -> "DivisibleBatch":
        """Return the rows from `start` to before `stop`."""
        ...


B = TypeVar("B")


def ranks_of_training() -> tuple[int, int]:
    """Return (rank, number of ranks) once the ranks have met; without `joined`, (0, 1)."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


@contextmanager
def joined(device: torch.device) -> Iterator[None]:
    """Let the ranks that torchrun has started meet, so that `fit` trains on all of them; they part at the end.

    They exchange tensors with gloo, and those on CUDA devices with NCCL. A single process meets nobody.

    Args:
        device: the device of this rank.

    Raises:
        BadInput: the device is Apple's MPS, whose tensors cannot be exchanged; or the ranks cannot meet.
        PeerLost: another process has died.
    """
    rank, ranks = started_ranks()
    if ranks == 1:
        yield
        return
    if device.type == "mps":
        raise BadInput(
            f"{ranks} processes were started on an MPS device; expected cpu or cuda, since processes cannot exchange "
            f"tensors of MPS: set compute.device to cpu or compute.processes to 1."
        )
    file = os.environ.get(MEETING_FILE)
    place = f"file://{file}" if file else "env://"
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    try:
        dist.init_process_group(backend, init_method=place, rank=rank, world_size=ranks, timeout=PATIENCE)
    except (dist.DistError, ValueError) as error:
        at = file or f"port {os.environ.get('MASTER_PORT')} of {os.environ.get('MASTER_ADDR')}"
        raise BadInput(
            f"the {ranks} processes cannot meet at {at} ({str(error).splitlines()[0]}); expected a free port that all "
            f"of them reach: end what uses it, or give torchrun another --master-port or --rdzv-endpoint."
        ) from error
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and "gloo" not in str(error):
            raise
        raise PeerLost(
            f"process {rank + 1} of {ranks} has lost the connection to another one ({str(error).splitlines()[0]}); "
            f"expected all of them to finish: run again, which continues from the last saved training state."
        ) from error
    finally:
        dist.destroy_process_group()


def only_first_continues() -> None:
    """End every process but that of rank 0: after the last training of a stage, only one measures and writes.

    Raises:
        SystemExit: this process has another rank.
    """
    if ranks_of_training()[0]:
        sys.exit(0)


def check_rows(rows: int) -> None:
    """Raise BadInput if a micro-batch of this many rows leaves a rank without one."""
    _, ranks = ranks_of_training()
    if ranks > rows:
        raise BadInput(
            f"{ranks} processes share micro-batches of {rows} rows; expected at least one row per process: lower "
            f"compute.processes, or raise training.batch_size and lower grad_accum_steps."
        )


def share_of(batch: B) -> tuple[B, bool]:
    """Return the rows of a micro-batch that this rank computes, and whether they count.

    The rows of the ranks, one rank after another, are those of the micro-batch. Their numbers differ by at most one. A
    rank for which there is none, as in packed micro-batches of few rows, gets one that does not count, because all
    ranks have to run the model at the same time.
    """
    rank, ranks = ranks_of_training()
    if ranks == 1:
        return batch, True
    assert isinstance(batch, DivisibleBatch), f"{type(batch).__name__} cannot be divided among processes"
    start, stop = rank * batch.rows // ranks, (rank + 1) * batch.rows // ranks
    counts = stop > start
    return batch.part(start, stop) if counts else batch.part(0, 1), counts  # type: ignore[return-value]


def sum_over_ranks(tensor: Tensor) -> Tensor:
    """Add up a tensor over all ranks, in place."""
    if ranks_of_training()[1] > 1:
        dist.all_reduce(tensor)
    return tensor


def slowest(seconds: float, device: torch.device) -> float:
    """Return the longest time of all ranks, so that all of them exhaust a time budget after the same step."""
    if ranks_of_training()[1] == 1:
        return seconds
    longest = torch.tensor(seconds, device=device)
    dist.all_reduce(longest, dist.ReduceOp.MAX)
    return float(longest)


def of_first(value: T) -> T:
    """Return the value of rank 0 on every rank; the values of the others are ignored."""
    if ranks_of_training()[1] == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, 0)
    return box[0]
