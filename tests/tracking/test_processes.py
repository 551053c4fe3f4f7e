"""Identity of processes: distinct from later and dead ones, and found among the ancestors."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from groundup.tracking import processes
from groundup.tracking.processes import ProcessId


def test_text_form_reads_back_even_with_dashes_in_the_host() -> None:
    me = ProcessId("box-1-a", 42, 1700000000.25)
    assert ProcessId.parse(str(me)) == me


def test_alive_dead_and_recycled() -> None:
    me = processes.current()
    assert me.pid == os.getpid() and me.is_alive()
    assert not replace(me, started=me.started - 60).is_alive()  # the pid now belongs to another process
    assert replace(me, host="elsewhere", pid=1, started=0.0).is_alive()  # cannot be looked at

    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    other = processes._identify(processes.psutil.Process(child.pid))
    assert other.is_alive()
    child.kill()
    child.wait()
    assert not other.is_alive()


def test_nearest_ancestor_by_name(tmp_path: Path) -> None:
    ask = "from groundup.tracking import processes; print(processes.nearest_ancestor('tool'))"
    script = tmp_path / "tool"
    script.write_text(
        f"import subprocess, sys\nfrom groundup.tracking import processes\nprint(processes.current(), flush=True)\n"
        f"subprocess.run([sys.executable, '-c', {ask!r}], check=True)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(processes.__file__).parents[2])}
    shown = subprocess.run(
        [sys.executable, str(script)], env=environment, capture_output=True, text=True, check=True
    )
    tool, found = shown.stdout.split()
    assert found == tool
    assert processes.nearest_ancestor("no-such-program") is None


USES = """
import subprocess, sys, time
from groundup.tracking.processes import used
import psutil
block = b'x' * 200_000_000
del block
subprocess.run([sys.executable, "-c", "b = b'x' * 300_000_000; sum(i for i in range(3_000_000))"])
found, times = used(), psutil.Process().cpu_times()
total = times.user + times.system + times.children_user + times.children_system
print(found.wall_seconds, found.cpu_seconds, total, found.peak_memory_megabytes, found.children_peak_memory_megabytes)
"""


def test_what_a_process_has_used_includes_its_children() -> None:
    """The oracles: psutil, and blocks of known size."""
    began = time.monotonic()
    wall, cpu, total, own, child = map(float, subprocess.check_output([sys.executable, "-c", USES]).split())
    assert 0 < wall < time.monotonic() - began + 2 * processes.CLOCK_SECONDS
    assert cpu == pytest.approx(total, abs=0.1)
    assert 200 < own < 290 and 300 < child < 400
