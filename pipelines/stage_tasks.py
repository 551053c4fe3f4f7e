"""A stage as a Prefect task: a DVC process that is retried if a signal ended it, and stopped when its flow ends."""

from pipelines import server  # noqa: F401  # before Prefect, whose settings it reads

# isort: split
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException
from prefect import Task, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import TaskRun
from prefect.states import Completed, State

from groundup.lineage.locks import split
from groundup.tracking import Terminated, processes
from pipelines.lineage import find_stage
from pipelines.mend import GRACE_SECONDS
from pipelines.operate.artifacts import Progress

# seconds before the retries of a stage that a signal ended, for example for lack of memory
KILLED_DELAYS = [10.0, 60.0]
EXITED = re.compile(r"failed to run: .*, exited with (-?\d+)$")  # DVC's message about a command that failed

_running: set[subprocess.Popen[str]] = set()
ending = threading.Event()  # set while a flow stops its stages, so that none starts or is retried
_starting = threading.Lock()


class Killed(RuntimeError):
    """A signal ended the process of a stage, which can continue from its last saved state."""


@dataclass(frozen=True)
class Step:
    """One stage of a dvc.yaml, as a task of a flow."""

    name: str  # such as download@spam; see `address`
    after: tuple[str, ...]  # names of the stages that it depends on
    retries: int = 0
    retry_delay_seconds: float | list[float] = 1.0  # one delay for all retries, or one per retry
    work_pool: str | None = None  # the Prefect work pool in which it runs; None: here


@task(cache_policy=NO_CACHE)
def run_stage(stage: str, root: Path, force: bool, environment: Mapping[str, str]) -> State[None]:
    """Bring one stage up to date with DVC, in its own process group, and stream its output to the log.

    Returns:
        A completed state, named Cached if there was nothing to do.

    Raises:
        Killed: a signal ended the stage.
        RuntimeError: the stage failed, or the flow is ending.
    """
    log = get_run_logger()
    if not force and is_up_to_date(stage, root):
        log.info("Stage '%s' didn't change, skipping", stage)
        return Completed(name="Cached", message="nothing to do")
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--single-item"]
    command += [*(["--force"] if force else []), stage]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"  # stages call `python`
    environment = os.environ | {"PYTHONUNBUFFERED": "1", "PATH": path} | dict(environment)
    ran, last, codes = False, "", list[int]()
    progress = Progress(split(stage)[1])
    with _process(stage, command, root, environment) as process:
        assert process.stdout is not None
        for line in map(str.rstrip, process.stdout):
            if line and progress.belongs_in_log(line):
                log.info(line)
            ran = ran or line.startswith("Running stage ")
            last = line.removeprefix("error: ") if line.startswith("error: ") else last
            codes += [int(found[1])] if (found := EXITED.search(line)) else []
    if not process.returncode:
        return Completed(message="done") if ran else Completed(name="Cached", message="nothing to do")
    if any(map(_is_signal, (process.returncode, *codes))):
        raise Killed(
            f"stage {stage} failed: a signal ended it; a training continues from its last saved state"
        )
    raise RuntimeError(f"stage {stage} failed: {last or f'dvc exited with {process.returncode}'}")


@contextmanager
def _process(
    stage: str, command: Sequence[str], root: Path, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[str]]:
    """Run a command in a process group of its own; it has ended when the block is left.

    Raises:
        RuntimeError: the flow is ending.
    """
    with _starting:
        if ending.is_set():
            raise RuntimeError(f"stage {stage} did not start, because the flow was ending")
        process = subprocess.Popen(
            command, cwd=root, env=environment, text=True, errors="replace",
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        _running.add(process)
    with process:
        try:
            yield process
        except BaseException:  # nobody reads its output any more, so it would soon block for ever
            processes.end([process], GRACE_SECONDS)
            raise
        finally:
            process.wait()
            _running.discard(process)


def _is_signal(code: int) -> bool:
    """Return whether an exit code is that of a signal; shells and the runner of stages add 128 to its number."""
    return code < 0 or 128 < code < 128 + signal.NSIG


def is_up_to_date(stage: str, root: Path) -> bool:
    """Return whether `dvc repro` would skip the stage, without starting a process that takes seconds.

    If DVC cannot decide, the stage counts as not up to date, and the process that then runs reports the reason.
    """
    try:
        asked = find_stage(root, stage)
        with asked.repo.lock:
            return not asked.changed()
    except DvcException:  # another DVC process is running, or a file is missing
        return False


def stage_task(step: Step, task: Task[..., State[None]] = run_stage) -> Task[..., State[None]]:
    """Return the task of one stage, with its name and its retries.

    A stage with retries in dvc.yaml is retried after any failure, the others only after a signal ended them.

    Args:
        step: the stage.
        task: what runs it.
    """
    _, name = split(step.name)
    return task.with_options(
        name=name.partition("@")[0],
        task_run_name=name,
        retries=step.retries or len(KILLED_DELAYS),
        retry_delay_seconds=step.retry_delay_seconds if step.retries else KILLED_DELAYS,
        retry_condition_fn=_unless_ending if step.retries else _if_killed,
        retry_jitter_factor=0.2,
    )


def _unless_ending(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:
    return not ending.is_set()


def _if_killed(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:
    return isinstance(state.data, Killed) and not ending.is_set()


@contextmanager
def stages_die_with_us() -> Iterator[None]:
    """Stop the running stages when the flow is cancelled or interrupted, when its terminal is closed, or when it fails.

    If only dvc were killed, the stage's process would go on training as an orphan.
    """
    ending.clear()
    try:
        with _closed_terminal_interrupts():
            yield
    except BaseException:
        with _starting:
            ending.set()
            running = tuple(_running)
        processes.end(running, GRACE_SECONDS)
        raise


@contextmanager
def _closed_terminal_interrupts() -> Iterator[None]:
    """Turn SIGHUP, which would end the process at once, into an exception; Prefect does this only for SIGTERM."""

    def handler(*_: object) -> None:
        raise Terminated

    in_main = threading.current_thread() is threading.main_thread()  # no other thread may set handlers
    if not in_main or signal.getsignal(signal.SIGHUP) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGHUP, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def failures(states: Mapping[str, State[Any]]) -> list[str]:
    """Return one sentence for each stage that failed.

    Stages that could not start because another did not complete are named only if there is no other failure.

    Args:
        states: the state of each stage at the end of its task.
    """
    incomplete = {stage: state for stage, state in states.items() if not state.is_completed()}
    own = {stage: state for stage, state in incomplete.items() if state.name != "NotReady"}
    reasons = {stage: reason(state) for stage, state in (own or incomplete).items()}
    return [why if stage in why else f"stage {stage} failed: {why}" for stage, why in reasons.items()]


def reason(state: State[Any]) -> str:
    """Return the state's message without the prefix that Prefect adds to exceptions."""
    message = state.message or f"it ended as {state.name}"
    return re.sub(r"^Task run encountered an exception:? (RuntimeError|Killed|BadInput): ", "", message)
