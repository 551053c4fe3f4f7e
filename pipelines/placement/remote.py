"""DVC's remote, by which home and workers exchange the inputs and results of a stage."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from dvc.repo import Repo
from dvc.stage.cache import RunCacheNotFoundError, RunCacheNotSupported

from groundup.errors import BadInput
from groundup.lineage.locks import split
from groundup.tracking.store import first_line
from pipelines.lineage import open_repo


@contextmanager
def explained(purpose: str) -> Iterator[None]:
    """Turn an error of the remote into one sentence.

    Args:
        purpose: what the block does, as an infinitive.

    Raises:
        BadInput: the block raised any exception.
    """
    try:
        yield
    except BadInput:
        raise
    except Exception as error:  # each kind of remote raises errors of its own
        raise BadInput(
            f"DVC could not {purpose} ({first_line(error)}); expected a remote that home and the workers reach: "
            "check `dvc remote list`, its credentials and the network, then run again"
        ) from error


def push(root: Path, targets: Sequence[str], *, run_cache: bool = False) -> None:
    """Push outputs, or all outputs of stages, to the default remote.

    Args:
        root: the project's folder.
        targets: paths of outputs, or DVC's names of stages.
        run_cache: also push DVC's run cache.

    Raises:
        BadInput: there is no remote, or it cannot be written.
    """
    with explained(f"push {', '.join(targets) or 'nothing'}"), Repo(str(root), _wait_for_lock=True) as repo:
        repo.cloud.get_remote()  # an error if there is none, also without targets
        if targets:
            repo.push(targets=list(targets), run_cache=run_cache)


def pull(root: Path, targets: Sequence[str]) -> None:
    """Pull outputs from the default remote and check them out.

    Raises:
        BadInput: there is no remote, or it does not have them.
    """
    with explained(f"pull {', '.join(targets)}"), Repo(str(root), _wait_for_lock=True) as repo:
        if targets:
            repo.pull(targets=list(targets))


def take_over(root: Path, stage: str) -> bool:
    """Check out the results of a stage if it has run with these inputs, here or where results are pushed to the remote.

    `dvc repro` then records them without running the stage.

    Returns:
        Whether there were any.

    Raises:
        BadInput: the remote cannot be read.
    """
    dvc_yaml, name = split(stage)
    with explained(f"pull the results of {stage}"), open_repo(root) as repo:
        with suppress(RunCacheNotSupported):
            repo.stage_cache.pull(None)
        loaded: Any = repo.stage.load_one(str(root / dvc_yaml), name)
        try:
            repo.stage_cache.restore(loaded, pull=True)
        except RunCacheNotFoundError:
            return False
    return True
