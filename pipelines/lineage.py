"""Facts that connect DVC, git and MLflow: stage keys, fingerprints of the data, revision of the code."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groundup.errors import BadInput
from groundup.lineage.locks import address, content_of, is_code, split, stage_key
from groundup.lineage.repository import revision_of
from groundup.tracking.champions import Origin, digest
from pipelines.params import PIPELINES

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc.stage import PipelineStage

# Stages are named as on DVC's command line in the project's folder, such as `download@spam` and
# `pipelines/study/dvc.yaml:download@simlex999`. Code that does not need DVC is in groundup.lineage.


def project_of(root: Path) -> Path:
    """Return the project to which a workspace belongs.

    The temporary workspaces of `dvc exp run` are in the project's .dvc/tmp and are deleted later.
    """
    return next((folder for folder in root.parents if folder / ".dvc" / "tmp" in root.parents), root)


@contextmanager
def open_repo(root: Path) -> "Iterator[Repo]":
    """Open a project in DVC, independently of the working folder, and hold DVC's lock on it.

    DVC writes dvc.lock in place, so without the lock a reader may see half of what another stage is writing.
    """
    from dvc.repo import Repo

    repo = Repo(str(root), _wait_for_lock=True)
    with repo.lock:
        yield repo


def find_stage(root: Path, stage: str) -> "PipelineStage":
    """Load a stage from a new `Repo` of DVC, which waits for DVC's lock when it needs it."""
    dvc_yaml, name = split(stage)
    with open_repo(root) as repo:
        return repo.stage.load_one(str(root / dvc_yaml), name)


def stages_of(root: Path, pipeline: str) -> "list[PipelineStage]":
    """Load all stages of a pipeline, as `find_stage` does."""
    with open_repo(root) as repo:
        return list(repo.stage.load_all(str(root / PIPELINES[pipeline].dvc_yaml)))


def folder_of(root: Path, stage: str) -> Path:
    """Return the folder that a stage writes, its first output."""
    return Path(find_stage(root, stage).outs[0].fs_path)


def lock_entry(stage: "PipelineStage") -> dict[str, Any]:
    """Return the entry that DVC would write to dvc.lock for a stage as it is now, without its outputs.

    It empties `stage.outs`, so the stage must come from a `Repo` that is used for nothing else.

    Raises:
        DvcException: a dependency is missing.
    """
    from dvc.stage.serialize import to_single_stage_lockfile

    stage.save_deps()
    stage.outs = []
    entry: dict[str, Any] = to_single_stage_lockfile(stage)
    return entry


def recorded_keys(root: Path) -> dict[str, str]:
    """Return {stage: its key} for all stages in the pipelines' dvc.lock files; empty before the first run."""
    from dvc.utils.serialize import load_yaml  # reads 5e-4 as a number, as DVC did when it computed the hash

    keys: dict[str, str] = {}
    with open_repo(root):
        for dvc_yaml in (pipeline.dvc_yaml for pipeline in PIPELINES.values()):
            lock = (root / dvc_yaml).with_suffix(".lock")
            recorded = load_yaml(str(lock)) if lock.exists() else None
            stages = (recorded or {}).get("stages") or {}  # a killed run may leave an empty file
            keys |= {address(dvc_yaml, name): stage_key(entry) for name, entry in stages.items()}
    return keys


def stage_entry(stage: str, root: Path) -> dict[str, Any]:
    """Return the entry without outputs that DVC will write to dvc.lock for a stage that it is running.

    Raises:
        BadInput: a dependency is missing, which `dvc repro --single-item` does not check, or cannot be read.
    """
    from dvc.exceptions import DvcException

    try:
        loaded = find_stage(root, stage)
        if missing := [dep.def_path for dep in loaded.deps if not dep.exists]:
            raise BadInput(
                f"dependencies of {stage} are missing ({', '.join(missing)}); make them first: dvc repro {stage}, "
                "without --single-item"
            )
        return lock_entry(loaded)
    except (DvcException, OSError) as error:
        raise BadInput(
            f"DVC cannot read the dependencies of {stage} ({' '.join(str(error).split())}); make them readable and run "
            "again"
        ) from error


def stage_tags(entry: Mapping[str, Any], root: Path) -> dict[str, str]:
    """Return the tags of a stage: its key and the fingerprint of each dependency that is data."""
    deps = {dep["path"]: content_of(dep) for dep in entry.get("deps", [])}
    data = {f"data.{path}": found for path, found in deps.items() if not is_code(root / path)}
    return {"stage_key": stage_key(entry), **data}


def revision_tags(root: Path) -> dict[str, str]:
    """Return the tags of the code: git revision (`-dirty` if code or parameters differ from it), DVC experiment."""
    tags = {}
    if revision := revision_of(root):
        tags["git.revision"] = revision
        tags["mlflow.source.git.commit"] = revision.removesuffix("-dirty")
    for tag, variable in (("dvc.experiment", "DVC_EXP_NAME"), ("dvc.baseline", "DVC_EXP_BASELINE_REV")):
        if value := os.environ.get(variable):
            tags[tag] = value
    return tags


def origin_of(root: Path, actor: str) -> Origin:
    """Return what the ledger records about the state of the project when `actor` moves a champion."""
    return Origin(actor, revision_of(root), digest(root / "dvc.lock"))
