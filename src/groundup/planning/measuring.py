"""How a probe measures: in a child process, whose peak memory is that of the stage, by a few real steps of `fit`."""

import contextlib
import io
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from groundup.errors import BadInput
from groundup.training.config import ComputeConfig, TrainingConfig

T = TypeVar("T")
PROBE_SECONDS = 5.0  # of training in each probe
MIN_STEPS = 2  # however long they take
WARM_UP = 2  # steps that are not counted, if there are more
STRETCHES = 9  # of steps, of whose means the middle ones count
ENDLESS = 10**9  # steps; so early in its warm-up, a training changes hardly any weight
CALLS = 4  # of other work
SAMPLED_STEPS = 64  # whose batches are counted, for the mean number of tokens per step


@dataclass(frozen=True)
class TimedTraining:
    """What a few steps of `fit` took.

    Attributes:
        start: seconds before the first step and those by which it was slower: imports, the optimizers' state.
        step: seconds per step of mean length.
        save: seconds per save of the state; 0 if none is saved.
        state: bytes of the saved state.
    """

    start: float
    step: float
    save: float
    state: int


def in_child(work: Callable[[], T], name: str) -> T:
    """Call `work`, which can be pickled, in a new process, without its progress bars.

    Raises:
        BadInput: the process was killed, for lack of memory; or as `work` does.
    """
    return in_children(work, name, 1)[0]


def in_children(work: Callable[[], T], name: str, number: int) -> list[T]:
    """Call `work` in several new processes at the same time, which share the machine as those of a training do.

    Raises:
        BadInput: as `in_child` does.
    """
    with ProcessPoolExecutor(number, mp_context=get_context("spawn")) as pool:
        try:
            return [child.result() for child in [pool.submit(_silently, work) for _ in range(number)]]
        except BrokenProcessPool:
            raise BadInput(
                f"the probe of {name} was killed, probably because this machine has too little memory for it; "
                f"expected a model and a batch that fit: lower batch_size and raise grad_accum_steps, or make the "
                f"model smaller."
            ) from None


def _silently(work: Callable[[], T]) -> T:
    with contextlib.redirect_stderr(io.StringIO()):
        return work()


class _Enough(Exception):
    """Raised from `log` to end the training of a probe."""


def timed_training(
    model: Any,
    objective: Callable[..., Any],
    batches: Callable[[int], Sequence[Any]],
    training: TrainingConfig,
    compute: ComputeConfig,
    *,
    saves: bool,
) -> TimedTraining:
    """Train for PROBE_SECONDS, at least MIN_STEPS steps; with `saves`, save the state once."""
    from groundup.training.loop import fit
    from groundup.training.resume import Resume

    tokens = [sum(batch.tokens for batch in batches(step)) for step in range(SAMPLED_STEPS)]
    largest = int(np.argmax(tokens))  # comes first, since the peak of memory is that of the largest batch
    per_token: list[float] = []  # seconds
    saving = [0.0]
    ended = 0.0  # the first step

    class SavedOnce(Resume):
        def save(self, *state: Any) -> None:
            if not saving[0]:
                begin = time.perf_counter()
                super().save(*state)
                saving[0] = time.perf_counter() - begin

    def log(metrics: Mapping[str, float], step: int) -> None:
        nonlocal ended
        now = time.perf_counter()
        per_token.append(1 / metrics["tokens_per_second"])
        ended = ended or now
        if step >= MIN_STEPS and now - ended > PROBE_SECONDS:
            raise _Enough

    changes: dict[str, Any] = {"max_seconds": None, "eval_interval": 0, "patience": None}
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        resume = SavedOnce(Path(folder))
        with contextlib.suppress(_Enough):
            fit(
                model,
                objective,
                lambda step: batches(largest if step == 0 else step % SAMPLED_STEPS),
                replace(training, max_steps=ENDLESS, checkpoint_interval=int(saves), **changes),
                compute,
                seed=0,
                log=log,
                resume=resume,
            )
        state = resume.path.stat().st_size if saves else 0
    mean = middle_mean(per_token[WARM_UP:] or per_token[-1:])
    first = ended - start - mean * tokens[largest]
    return TimedTraining(max(first, 0.0), mean * statistics.mean(tokens), saving[0], state)


def middle_mean(seconds: Sequence[float]) -> float:
    """Return the mean of a series without its fastest and its slowest stretches.

    The series is cut into STRETCHES. A step that is slow now and then counts, unlike in a median of all steps; a second
    in which other programs disturbed the machine does not.
    """
    stretches = np.array_split(np.array(seconds), min(STRETCHES, len(seconds)))
    means, left_out = sorted(float(stretch.mean()) for stretch in stretches), len(stretches) // 4
    return statistics.mean(means[left_out : len(means) - left_out])


def seconds_of(work: Callable[[], Any]) -> float:
    """Return how long the fastest of CALLS calls takes: the first also allocates memory."""
    times = []
    for _ in range(CALLS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def peak_memory() -> int:
    """Return the peak resident memory of this process, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux's ru_maxrss may be that of the parent process, before the program was started
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def peak_device_memory() -> int:
    """Return the peak memory of the GPU, in bytes; 0 on a CPU."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return int(torch.mps.driver_allocated_memory()) if torch.backends.mps.is_available() else 0
