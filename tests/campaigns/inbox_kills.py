"""Kill `python -m pipelines.inbox` at random moments, run it again, and compare with an undisturbed run.

    python -m tests.campaigns.inbox_kills --kills 50 --seed 1

Each trial fills the inbox of a copy of a small DVC project, kills the intake's process group with SIGKILL (in half of
the trials only after it has begun to write), and runs the intake again. Increments, their records, quarantine, inbox
and DVC's status must then be those of an undisturbed run.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.pipelines import toy
from tests.pipelines.labels_project import DVC, NEW, build, drop
from tests.pipelines.prepared import content

COMMAND = (sys.executable, "-m", "pipelines.inbox")
FOLDERS = ("labelled", "quarantine", "inbox")


def fill(root: Path) -> None:
    """Put four files into the inbox: one is accepted, one has a rejected row, one is refused, one repeats the first."""
    drop(root, "a.jsonl", *NEW[:12])
    drop(root, "b.jsonl", *NEW[12:], ("red \x1b[31m", "spam"))
    drop(root, "c.jsonl", ("bad", "ok"))
    drop(root, "d.jsonl", *NEW[:12])


def state(root: Path) -> dict[str, object]:
    """Return everything that an intake leaves behind."""
    found: dict[str, object] = {name: content(root / "data" / name) for name in FOLDERS}
    return found | {"status": toy.run(root, *DVC, "status", "--json").stdout}


def start(root: Path) -> "subprocess.Popen[bytes]":
    """Start an intake in its own session."""
    return subprocess.Popen(
        COMMAND,
        cwd=root,
        env=toy.environment(),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def trial(root: Path, chance: random.Random, seconds: float) -> str:
    """Kill one intake at a random moment; return after how many seconds, and how many files it had written."""
    process = start(root)
    begun = time.monotonic()
    written = (root / "data/quarantine", root / "data/labelled")
    before = [content(folder) for folder in written]
    if chance.random() < 0.5:
        time.sleep(chance.random() * seconds)
    else:
        while process.poll() is None and [content(folder) for folder in written] == before:
            time.sleep(0.002)
        time.sleep(chance.random() * seconds / 3)
    ended = process.poll() is not None
    if not ended:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if ended:
        return f"had ended after {time.monotonic() - begun:.1f} s"
    return f"killed after {time.monotonic() - begun:.1f} s, with {len(content(root / 'data/labelled')) - 2} new files"


def main() -> None:
    """Run the campaign; exit with 1 if a trial ended differently from the undisturbed run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    chance, wrong = random.Random(arguments.seed), 0
    with tempfile.TemporaryDirectory() as folder:
        project = build(Path(folder) / "project")
        whole = Path(shutil.copytree(project, Path(folder) / "whole", symlinks=True))
        fill(whole)
        begun = time.monotonic()
        start(whole).wait()
        seconds, expected = time.monotonic() - begun, state(whole)
        for number in range(1, arguments.kills + 1):
            copy = Path(shutil.copytree(project, Path(folder) / "copy", symlinks=True))
            fill(copy)
            when = trial(copy, chance, seconds)
            start(copy).wait()
            same = state(copy) == expected
            wrong += not same
            print(f"{number}: {when}: {'the same' if same else 'DIFFERENT'}", flush=True)
            shutil.rmtree(copy)
    print(f"{arguments.kills - wrong} of {arguments.kills} as without a kill")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
