"""Identity of processes: distinct from later and dead ones, and found among the ancestors."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

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
