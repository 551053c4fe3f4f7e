"""DVC's remote, by which home and workers exchange the inputs and results of a stage."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from dvc.repo import Repo
from dvc.stage.cache import RunCacheNotFoundError, RunCacheNotSupported

from groundup.errors import BadInput, first_line
from groundup.lineage.locks import split
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


# DVC's functions take names relative to the working folder, so they are given absolute ones


def push(root: Path, outputs: Sequence[str]) -> None:
    """Push outputs, given by their paths in the project, to the default remote.

    Raises:
        BadInput: there is no remote, or it cannot be written.
    """
    with explained(f"push {', '.join(outputs) or 'nothing'}"), Repo(str(root), _wait_for_lock=True) as repo:
        repo.cloud.get_remote()  # an error if there is none, also without outputs
        if outputs:
            repo.push(targets=[str(root / out) for out in outputs])


def pull(root: Path, outputs: Sequence[str]) -> None:
    """Pull outputs, given by their paths in the project, from the default remote and check them out.

    Raises:
        BadInput: there is no remote, or it does not have them.
    """
    with explained(f"pull {', '.join(outputs)}"), Repo(str(root), _wait_for_lock=True) as repo:
        if outputs:
            repo.pull(targets=[str(root / out) for out in outputs])


def push_results(root: Path, stage: str) -> None:
    """Push the outputs of a stage and DVC's run cache, from which `take_over` takes them.

    The working folder has to be in the project.

    Raises:
        BadInput: there is no remote, or it cannot be written.
    """
    dvc_yaml, name = split(stage)
    with explained(f"push the results of {stage}"), Repo(str(root), _wait_for_lock=True) as repo:
        repo.push(targets=[f"{root / dvc_yaml}:{name}"])
        # `dvc push --run-cache` leaves out outputs with `cache: false`, which the entries of the run cache name, too
        entries = repo.stage_cache.push(None)
        for objects in repo.stage_cache.get_used_objs(entries).values():
            repo.cloud.push(objects)


def take_over(root: Path, stage: str) -> bool:
    """Check out the results of a stage if it has run with these inputs, here or where results are pushed to the remote.

    `dvc repro` then records them without running the stage. The working folder has to be in the project.

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
        for out in loaded.outs:  # as `dvc repro` does, which would otherwise ask before it replaces them
            if out.exists and not (out.use_cache and not out.changed()):
                out.remove()
        try:
            repo.stage_cache.restore(loaded, pull=True)
        except RunCacheNotFoundError:
            return False
    return True
