"""Identify a process uniquely, measure what it has used, and end processes with their children."""

import os
import platform
import resource
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import psutil

STATUS = Path("/proc/self/status")
# two start times of one process may differ: they are derived from the boot time, which moves when the clock is set
CLOCK_SECONDS = 2.0


@dataclass(frozen=True)
class ProcessId:
    """A process on one host. Its start time distinguishes it from a later process with the same pid.

    >>> ProcessId.parse(str(ProcessId("box-1", 42, 1700000000.25)))
    ProcessId(host='box-1', pid=42, started=1700000000.25)
    """

    host: str
    pid: int
    started: float  # seconds since the epoch

    def __str__(self) -> str:
        return f"{self.host}-{self.pid}-{self.started:.2f}"

    @classmethod
    def parse(cls, text: str) -> "ProcessId":
        """Parse what `str()` wrote; raises ValueError for anything else."""
        host, pid, started = text.rsplit("-", 2)
        return cls(host, int(pid), float(started))

    def is_alive(self) -> bool:
        """Return whether the process still runs; a process on another host, or a hidden one, counts as alive."""
        if self.host != platform.node():
            return True
        try:
            process = psutil.Process(self.pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            return abs(process.create_time() - self.started) < CLOCK_SECONDS
        except psutil.NoSuchProcess:
            return False
        except psutil.AccessDenied:  # another user's process
            return True


def current() -> ProcessId:
    """Return the calling process."""
    return _identify(psutil.Process())


@dataclass(frozen=True)
class Usage:
    """What a process has used since it began.

    Attributes:
        wall_seconds: time since its start.
        cpu_seconds: time on processors, in user mode and in the kernel, also of its children that have ended.
        peak_memory_megabytes: its largest resident memory, in millions of bytes.
        children_peak_memory_megabytes: that of the largest child that has ended, on Linux at least the memory of this
            process when it started the child; 0 without children.
    """

    wall_seconds: float
    cpu_seconds: float
    peak_memory_megabytes: float
    children_peak_memory_megabytes: float


def used() -> Usage:
    """Return what the calling process has used."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return Usage(
        time.time() - psutil.Process().create_time(),
        own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime,
        (_peak() or _bytes(own.ru_maxrss)) / 1e6,
        _bytes(children.ru_maxrss) / 1e6,
    )


def _peak() -> int:
    """Return the largest resident memory of this process in bytes; 0 where the system has no /proc.

    On Linux `ru_maxrss` is at least that of the process that started this one.
    """
    lines = STATUS.read_text(encoding="utf-8").splitlines() if STATUS.exists() else []
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)


def _bytes(maxrss: int) -> int:
    return maxrss if sys.platform == "darwin" else 1024 * maxrss


def user() -> str:
    """Return the name of the user of the calling process, or its number if it has no name."""
    return psutil.Process().username()


def command(process: ProcessId) -> str:
    """Return the command line of a process without Python and the program's folder; empty if it has ended."""
    try:
        words = psutil.Process(process.pid).cmdline()
    except psutil.Error:
        return ""
    if len(words) > 1 and PurePath(words[0]).name.startswith("python"):
        words = words[2:] if words[1] == "-m" else words[1:]
    return shlex.join([PurePath(word).name if n == 0 else word for n, word in enumerate(words)])


def runs(process: psutil.Process, program: str) -> bool:
    """Return whether a process runs `program …`, `python …/program …` or `python -m program …`.

    If the system hides the command line, the answer is False.
    """
    try:
        command = process.cmdline()
    except psutil.Error:
        return False
    return any(PurePath(word).name == program for word in command[:2]) or command[1:3] == ["-m", program]


def nearest_ancestor(program: str) -> ProcessId | None:
    """Return the closest ancestor of this process that runs `program`, or None; see `runs`."""
    try:
        ancestors = psutil.Process().parents()
    except psutil.Error:  # one has just ended, or the system hides it
        return None
    found = next((process for process in ancestors if runs(process, program)), None)
    return _identify(found) if found else None


def end(leaders: Collection[subprocess.Popen[Any]], grace: float) -> None:
    """End processes that lead their process groups, and all processes in these groups.

    All get SIGTERM. Those that still run after `grace` seconds, or at a second Ctrl-C, get SIGKILL.
    """
    try:
        for leader in leaders:
            _signal(leader, signal.SIGTERM)
        deadline = time.monotonic() + grace
        while any(_signal(leader, 0) for leader in leaders) and time.monotonic() < deadline:
            time.sleep(0.1)
    finally:
        for leader in leaders:
            _signal(leader, signal.SIGKILL)


def _signal(leader: subprocess.Popen[Any], number: int) -> bool:
    """Send a signal to a process group; return False if the group has ended."""
    leader.poll()  # until then, a leader that has ended counts as a member of its group
    try:
        os.killpg(leader.pid, number)
    # PermissionError: macOS refuses to signal a group of which only the dead leader is left
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _identify(process: psutil.Process) -> ProcessId:
    return ProcessId(platform.node(), process.pid, process.create_time())
