"""Facts that connect DVC, git and MLflow: stage keys, fingerprints of the data, revision of the code."""

import hashlib
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groundup.errors import BadInput
from groundup.tracking.champions import Origin, digest
from pipelines.params import PIPELINES

if TYPE_CHECKING:
    from dvc.stage import PipelineStage

# Stages have the names of DVC's command line in the project's folder, such as `download@spam` and
# `pipelines/study/dvc.yaml:download@simlex999`.


def workspace(here: Path | None = None) -> Path:
    """Return the DVC project that contains `here` (default: the working folder); `here` itself if there is none.

    DVC_ROOT cannot be used: in the temporary folders of `dvc exp run --temp` and `--queue` it names the main project.
    """
    here = here or Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / ".dvc").is_dir()), here)


def project_of(root: Path) -> Path:
    """Return the project of a workspace; temporary workspaces are in the project's .dvc/tmp and are deleted later."""
    return next((folder for folder in root.parents if folder / ".dvc" / "tmp" in root.parents), root)


def address(dvc_yaml: str, name: str) -> str:
    """Return DVC's name of a stage in the project's folder; DVC's own `addressing` depends on the working folder."""
    return name if dvc_yaml == "dvc.yaml" else f"{dvc_yaml}:{name}"


def split(stage: str) -> tuple[str, str]:
    """Return the dvc.yaml of a stage and the stage's name in it."""
    dvc_yaml, _, name = stage.rpartition(":")
    return dvc_yaml or "dvc.yaml", name


def stage_key(entry: Mapping[str, Any]) -> str:
    """Return a hash of the stage's inputs: command, parameters and the hashes of its dependencies.

    `entry` has the shape of a stage in dvc.lock. Outputs are not part of the key, so it is the same before the stage
    runs, while it runs and in the lock file afterwards.
    """
    deps = sorted((dep["path"], content_of(dep)) for dep in entry.get("deps", []))
    facts = {"cmd": entry["cmd"], "deps": deps, "params": entry.get("params", {})}
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:32]


def content_of(item: Mapping[str, Any]) -> str:
    """Return the MD5 of a dependency or output in a lock file, or the ETag or checksum of a remote one."""
    return str(next((item[key] for key in ("md5", "etag", "checksum") if key in item), ""))


def find_stage(root: Path, stage: str) -> "PipelineStage":
    """Load a stage from a new `Repo` of DVC, independently of the working folder."""
    from dvc.repo import Repo

    dvc_yaml, name = split(stage)
    return Repo(str(root)).stage.load_one(str(root / dvc_yaml), name)


def lock_entry(stage: "PipelineStage") -> dict[str, Any]:
    """Return the entry that DVC would write to dvc.lock for the stage's current dependencies and parameters.

    It removes the outputs of `stage`, which must belong to a `Repo` of the caller.

    Raises:
        DvcException: a dependency is missing.
    """
    from dvc.stage.serialize import to_single_stage_lockfile

    stage.save_deps()
    stage.outs = []
    entry: dict[str, Any] = to_single_stage_lockfile(stage)
    return entry


def recorded_keys(root: Path) -> dict[str, str]:
    """Return the stage key of every stage in the dvc.lock of each pipeline, by stage; empty before the first run."""
    from dvc.utils.serialize import load_yaml  # reads 5e-4 as a number, as DVC did when it computed the hash

    keys: dict[str, str] = {}
    for dvc_yaml in (pipeline.dvc_yaml for pipeline in PIPELINES.values()):
        lock = (root / dvc_yaml).with_suffix(".lock")
        recorded = load_yaml(str(lock)) if lock.exists() else None
        stages = (recorded or {}).get("stages") or {}  # a killed run may leave an empty file
        keys |= {address(dvc_yaml, name): stage_key(entry) for name, entry in stages.items()}
    return keys


def stage_tags(stage: str, root: Path) -> dict[str, str]:
    """Return the tags of a stage that DVC is running: its key and the fingerprint of each data dependency.

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
        entry = lock_entry(loaded)
    except (DvcException, OSError) as error:
        raise BadInput(
            f"DVC cannot read the dependencies of {stage} ({' '.join(str(error).split())}); make them readable and run "
            "again"
        ) from error
    data = {
        f"data.{dep['path']}": content_of(dep)
        for dep in entry.get("deps", [])
        if not is_code(root / dep["path"])
    }
    return {"stage_key": stage_key(entry), **data}


def is_code(path: Path) -> bool:
    """Return whether a dependency is a Python module or a folder that contains one."""
    return path.suffix == ".py" if path.is_file() else next(path.rglob("*.py"), None) is not None


def revision_tags(root: Path) -> dict[str, str]:
    """Return the tags of the code: git revision (`-dirty` if code or parameters differ from it), DVC experiment."""
    tags = {}
    revision = git(root, "rev-parse", "HEAD")
    if revision:
        # files that a run itself writes are not code
        changed = git(root, "status", "--porcelain", "--untracked-files=no", "--", ":!*dvc.lock", ":!reports")
        tags["git.revision"] = revision + ("-dirty" if changed else "")
        tags["mlflow.source.git.commit"] = revision
    for tag, variable in (("dvc.experiment", "DVC_EXP_NAME"), ("dvc.baseline", "DVC_EXP_BASELINE_REV")):
        if value := os.environ.get(variable):
            tags[tag] = value
    return tags


def origin_of(root: Path, actor: str) -> Origin:
    """Return what the ledger records about the state of the project when `actor` moves a champion."""
    return Origin(actor, revision_tags(root).get("git.revision", ""), digest(root / "dvc.lock"))


def git(root: Path, *args: str) -> str:
    """Return the output of a git command; empty without git or without a commit."""
    try:
        return subprocess.run(
            ["git", *args], cwd=root, capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
