"""Show what changed since the last run (`make status`); while DVC works here, show which stages run.

DVC cannot compare a stage whose files another DVC command has locked, and refuses the whole question.
"""

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from groundup.lineage.locks import workspace
from groundup.tracking import processes

BUSY = "it is being blocked by"  # in DVC's error


def status(root: Path, files: Sequence[str]) -> tuple[str, int]:
    """Return what `make status` prints, and its exit code.

    Args:
        root: the project's folder.
        files: the files dvc.yaml of the pipelines to compare, relative to it.
    """
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "status", *files]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if not done.returncode or BUSY not in done.stderr:
        return done.stdout + done.stderr, done.returncode
    lines = [f"a run is at work here: {line}\n" for line in running(root)]
    return (
        "".join(lines or ["another DVC command is at work here\n"])
        + "What has changed can be compared again when it has ended.\n",
        0,
    )


def running(root: Path) -> Iterator[str]:
    """Yield a sentence for each stage that runs in a project, or for each DVC command if it is between two stages."""
    commands = []
    stages: dict[str, psutil.Process] = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):  # it has ended, or belongs to another user
            environment = process.environ()
            project, stage = environment.get("DVC_ROOT"), environment.get("DVC_STAGE")
            if stage and project and Path(project).resolve() == root.resolve():
                stages.setdefault(stage, process)  # the oldest: a stage may have children
            elif (
                processes.runs(process, "dvc") and workspace(Path(process.cwd()).resolve()) == root.resolve()
            ):
                commands.append(process)
    for stage, process in stages.items():
        yield f"stage {stage}, {_since(process)}"
    if not stages:
        yield from (f"dvc, {_since(process)}" for process in commands)


def _since(process: psutil.Process) -> str:
    minutes = (time.time() - process.create_time()) / 60
    return f"process {process.pid}, for {minutes:.0f} min"


def main() -> None:
    """Print the status of the pipelines whose files the command line names."""
    text, code = status(Path.cwd(), sys.argv[1:])
    print(text, end="")
    sys.exit(code)


if __name__ == "__main__":
    main()
