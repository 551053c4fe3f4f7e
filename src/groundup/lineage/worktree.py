"""Temporary git worktrees of a project's commits, and DVC commands that run in them.

A worktree that a killed process has left is removed when the next one is made.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from groundup.errors import BadInput
from groundup.lineage.repository import git
from groundup.tracking import processes
from groundup.tracking.processes import ProcessId

# git and DVC ignore this folder; it is on the same disk as the cache
FOLDER = Path(".dvc/tmp/reproduce")
GRACE_SECONDS = 20.0
# variables (or their beginnings) through which a stage in the worktree would use the caller's run, store or stage
OF_THE_CALLER = (
    "DVC_",
    "MLFLOW_",
    "GROUNDUP_PARENT_RUN_ID",
    "PYTHONSAFEPATH",
    "GIT_DIR",
    "GIT_WORK_TREE",
)


@contextmanager
def worktree(root: Path, revision: str) -> Iterator[Path]:
    """Yield the project's folder in a new worktree of a commit; remove the worktree afterwards.

    Raises:
        BadInput: git cannot make a worktree.
    """
    prune(root)
    place = root.resolve() / FOLDER / str(processes.current())
    place.parent.mkdir(parents=True, exist_ok=True)
    # a hook of `dvc install` would check out data there
    command = ["git", "-c", "core.hooksPath=/dev/null", "worktree", "add", "--detach", "--quiet"]
    try:
        made = subprocess.run(
            [*command, str(place), revision], cwd=root, capture_output=True, text=True, check=False
        )
        if made.returncode:
            raise BadInput(
                f"git cannot check out {revision} in {place} ({' '.join(made.stderr.split())}); correct this and try "
                "again"
            )
        yield place / git(root, "rev-parse", "--show-prefix")
    finally:
        _remove(root, place)


def prune(root: Path) -> None:
    """Remove the worktrees of processes that have died, and end the stages that still run in them."""
    for place in sorted((root.resolve() / FOLDER).glob("*")):
        try:
            owner = ProcessId.parse(place.name)
        except ValueError:  # not a worktree of this module
            continue
        if not owner.is_alive():
            _end_processes_in(place)
            _remove(root, place)


def _remove(root: Path, place: Path) -> None:
    git(root, "worktree", "remove", "--force", str(place))
    shutil.rmtree(place, ignore_errors=True)
    git(root, "worktree", "prune")


def _end_processes_in(place: Path) -> None:
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if Path(process.cwd()).is_relative_to(place):
                process.kill()


def run_dvc(place: Path, *arguments: str) -> int:
    """Run DVC in a worktree and return its exit code; its output and that of its stages go to the terminal.

    The stages import the worktree's code and log to the worktree's own store. DVC does not end its stages when it is
    killed; therefore it gets a process group, which is ended if this call is interrupted.
    """
    command = [sys.executable, "-m", "dvc", *arguments]
    with subprocess.Popen(command, cwd=place, env=environment(place), start_new_session=True) as process:
        try:
            return process.wait()
        except BaseException:
            processes.end([process], GRACE_SECONDS)
            raise


def environment(place: Path) -> dict[str, str]:
    """Return the environment variables for a command in a worktree."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OF_THE_CALLER)}
    return kept | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONPATH": f"{place / 'src'}{os.pathsep}{place}",
        "PYTHONUNBUFFERED": "1",
        "MLFLOW_TRACKING_URI": f"sqlite:///{place / 'mlflow.db'}",
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(place / ".dvc" / "tmp" / "site"),
    }
