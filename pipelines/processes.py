"""Start a stage on several processes of this machine, and say in one sentence if one of them dies.

torchrun (torch.distributed.run) starts them and ends all of them when one dies. Each runs `python -m pipelines.run`
with the same arguments. They meet in a file and exchange tensors over the loopback interface, so that no port is open
to the network. On several machines, torchrun is started by hand: see docs/distributed.md.
"""

import ctypes
import json
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from groundup.errors import BadInput
from groundup.training.config import ComputeConfig
from groundup.training.runtime import MEETING_FILE, RANKS, started_ranks
from pipelines.params import PIPELINES

PR_SET_PDEATHSIG = 1  # of prctl(2)
PEER_LOST = 75  # exit code of a process that cannot go on because another one has died
ERROR_FILE = "TORCHELASTIC_ERROR_FILE"  # where torchrun expects the message of a process that fails


def check_stage(pipeline: str, module: str) -> None:
    """Raise BadInput if torchrun has started a stage that runs in one process."""
    if started_ranks()[1] > 1 and module not in PIPELINES[pipeline].spread:
        raise BadInput(
            f"torchrun has started {pipeline}.{module}, which runs in one process; expected one of "
            f"{', '.join(PIPELINES[pipeline].spread) or 'no stage of this pipeline'}: start it with python."
        )


def wanted(pipeline: str, module: str, sections: Mapping[str, object]) -> int:
    """Return the number of processes that have to be started for a stage; 1: this process runs it itself."""
    compute = sections.get("compute")
    if (
        RANKS in os.environ
        or module not in PIPELINES[pipeline].spread
        or not isinstance(compute, ComputeConfig)
    ):
        return 1
    return compute.processes


def start(processes: int, threads: int, stage: str, words: list[str]) -> None:
    """Run a stage on several processes, and wait for them.

    Args:
        processes: how many.
        threads: CPU threads of each.
        stage: pipeline and module, as for `run_stage`.
        words: the arguments.

    Raises:
        BadInput: one of them died; the training state stays.
        SystemExit: one of them failed and has said why, or this process was told to end.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if processes * threads > cores:
        print(
            f"warning: {processes} processes with {threads} threads each share {cores} cores, which makes all of them "
            f"slower; lower compute.threads or compute.processes.",
            file=sys.stderr,
        )
    with tempfile.TemporaryDirectory() as folder:
        _prepare_environment(Path(folder), threads)
        from torch.distributed.elastic.multiprocessing.api import SignalException
        from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
        from torch.distributed.run import parse_args, run

        meeting = ["--rdzv-backend=c10d", f"--rdzv-endpoint={folder}/agents", "--rdzv-conf=store_type=file"]
        options = [*meeting, "--local-addr=127.0.0.1", f"--nproc-per-node={processes}", f"--log-dir={folder}"]
        try:
            run(parse_args([*options, "-m", "pipelines.run", stage, *words]))
        except SignalException as error:
            sys.exit(128 + error.sigval)
        except ChildFailedError as error:
            if 0 in error.failures and error.failures[0].exitcode == 1:
                sys.exit(1)  # it has said why
            rank, failure = min(
                error.failures.items(), key=lambda item: (item[1].exitcode == PEER_LOST, item[1].timestamp)
            )
            message = _message(Path(failure.error_file))
            raise BadInput(message or _death(rank, processes, failure.exitcode)) from None


def _prepare_environment(folder: Path, threads: int) -> None:
    """Set the variables that the processes inherit, and those that torchrun's modules read when they are imported."""
    loopback = next(
        name
        for name, addresses in psutil.net_if_addrs().items()
        if any(a.family == socket.AF_INET and a.address == "127.0.0.1" for a in addresses)
    )
    os.environ |= {
        MEETING_FILE: str(folder / "processes"),
        "GLOO_SOCKET_IFNAME": loopback,
        "NCCL_SOCKET_IFNAME": loopback,
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",  # torchrun would listen for the processes at a port
        "OMP_NUM_THREADS": str(threads),
        "TORCH_CPP_LOG_LEVEL": os.environ.get("TORCH_CPP_LOG_LEVEL", "ERROR"),
        "LOGLEVEL": os.environ.get("LOGLEVEL", "CRITICAL"),  # torchrun's own messages have many lines
    }


def _death(rank: int, processes: int, exitcode: int) -> str:
    """Return the sentence about a process that died without one of its own."""
    how = f"ended with exit code {exitcode}"
    if exitcode < 0:
        how = f"was killed by {signal.Signals(-exitcode).name}"
    return (
        f"process {rank + 1} of {processes} {how}, so the others were ended too; expected all of them to finish: look "
        f"for a lack of memory or an error above, then run again, which continues from the last saved training state."
    )


def join_parent() -> None:
    """End this process when torchrun dies, and show progress and messages only in the process of rank 0."""
    if started_ranks()[1] == 1:
        return
    if sys.platform.startswith("linux"):
        parent = os.getppid()
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before
            os.kill(os.getpid(), signal.SIGTERM)
    if started_ranks()[0]:
        os.environ["TQDM_DISABLE"] = "1"


def report(error: BadInput) -> None:
    """Hand the sentence of an error to torchrun, and print it in the process of rank 0."""
    rank, _ = started_ranks()
    if (
        type(error).__name__ == "PeerLost"
    ):  # the dead process is the reason; importing the class would import torch
        sys.exit(PEER_LOST)
    if file := os.environ.get(ERROR_FILE):
        with suppress(OSError):
            Path(file).write_text(
                json.dumps(
                    {"message": {"message": str(error), "extraInfo": {"timestamp": str(int(time.time()))}}}
                ),
                encoding="utf-8",
            )
    sys.exit(1 if rank else f"error: {error}")


def _message(file: Path) -> str | None:
    """Return the sentence that a process has handed over; None if there is none."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        return str(json.loads(file.read_text(encoding="utf-8"))["message"]["message"])
    return None
