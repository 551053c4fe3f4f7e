"""Facts that join DVC, git and MLflow: stage key, fingerprints of the data, revision of the code."""

import hashlib
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groundup.errors import BadInput
from pipelines.params import PIPELINES

if TYPE_CHECKING:
    from dvc.stage import PipelineStage

# A stage is named as on DVC's command line in the project's folder: `download@spam`,
# `pipelines/study/dvc.yaml:download@simlex999`.


def workspace(here: Path | None = None) -> Path:
    """The folder whose stages run here, by default the working folder: the nearest one that DVC works in.

    DVC_ROOT names another one, the project itself, in the temporary folders of `dvc exp run --temp` and `--queue`.
    """
    here = here or Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / ".dvc").is_dir()), here)


def project_of(root: Path) -> Path:
    """The project that a workspace belongs to; a temporary one lies in the project's .dvc/tmp and is removed."""
    return next((folder for folder in root.parents if folder / ".dvc" / "tmp" in root.parents), root)


def address(dvc_yaml: str, name: str) -> str:
    """How DVC calls a stage in the project's folder; its own `addressing` depends on where one works."""
    return name if dvc_yaml == "dvc.yaml" else f"{dvc_yaml}:{name}"


def split(stage: str) -> tuple[str, str]:
    """The dvc.yaml of a stage and its name there."""
    dvc_yaml, _, name = stage.rpartition(":")
    return dvc_yaml or "dvc.yaml", name


def stage_key(entry: Mapping[str, Any]) -> str:
    """Name the work of a stage by what goes into it: command, parameters and the hashes of its dependencies.

    `entry` has the shape of a stage in dvc.lock. What comes out of the stage plays no part, so the key is the
    same before the stage runs, while it runs and in the lock file afterwards.
    """
    deps = sorted((dep["path"], content_of(dep)) for dep in entry.get("deps", []))
    facts = {"cmd": entry["cmd"], "deps": deps, "params": entry.get("params", {})}
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:32]


def content_of(item: Mapping[str, Any]) -> str:
    """What a lock file knows the content of a dependency or output by: its MD5, or the name that a server gave it."""
    return str(next((item[key] for key in ("md5", "etag", "checksum") if key in item), ""))


def find_stage(root: Path, stage: str) -> "PipelineStage":
    """The stage as DVC knows it, from a `Repo` of its own, wherever one works."""
    from dvc.repo import Repo

    dvc_yaml, name = split(stage)
    return Repo(str(root)).stage.load_one(str(root / dvc_yaml), name)


def lock_entry(stage: "PipelineStage") -> dict[str, Any]:
    """The entry that DVC would write into dvc.lock for the stage's present dependencies and parameters.

    Takes a stage of the caller's own `Repo` and drops its outputs. A missing dependency is dvc's error.
    """
    from dvc.stage.serialize import to_single_stage_lockfile

    stage.save_deps()
    stage.outs = []
    entry: dict[str, Any] = to_single_stage_lockfile(stage)
    return entry


def recorded_keys(root: Path) -> dict[str, str]:
    """Stage keys of what the dvc.lock of each pipeline says is done, by stage; empty before the first run."""
    from dvc.utils.serialize import load_yaml  # reads 5e-4 as a number, as DVC did when it hashed it

    keys: dict[str, str] = {}
    for dvc_yaml in (pipeline.dvc_yaml for pipeline in PIPELINES.values()):
        lock = (root / dvc_yaml).with_suffix(".lock")
        recorded = load_yaml(str(lock)) if lock.exists() else None
        stages = (recorded or {}).get("stages") or {}  # a kill may leave an empty file
        keys |= {address(dvc_yaml, name): stage_key(entry) for name, entry in stages.items()}
    return keys


def stage_tags(stage: str, root: Path) -> dict[str, str]:
    """Tags of a stage that DVC is running: its key and the fingerprint of each data dependency.

    Raises:
        BadInput: a dependency is missing (`dvc repro --single-item` does not look) or cannot be read.
    """
    from dvc.exceptions import DvcException

    try:
        loaded = find_stage(root, stage)
        if missing := [dep.def_path for dep in loaded.deps if not dep.exists]:
            raise BadInput(
                f"{stage} lacks what it depends on ({', '.join(missing)}); make that first: dvc repro {stage}, without "
                "--single-item"
            )
        entry = lock_entry(loaded)
    except (DvcException, OSError) as error:
        raise BadInput(
            f"DVC cannot read what {stage} depends on ({' '.join(str(error).split())}); make it readable and run again"
        ) from error
    code = (".py", ".j2")
    data = {
        f"data.{dep['path']}": content_of(dep)
        for dep in entry.get("deps", [])
        if not dep["path"].endswith(code)
    }
    return {"stage_key": stage_key(entry), **data}


def revision_tags(root: Path) -> dict[str, str]:
    """Tags of the code: git revision (`-dirty` when code or parameters differ from it), DVC experiment."""
    tags = {}
    revision = _git(root, "rev-parse", "HEAD")
    if revision:
        # What a run itself writes does not make the code another one.
        changed = _git(
            root, "status", "--porcelain", "--untracked-files=no", "--", ":!*dvc.lock", ":!reports"
        )
        tags["git.revision"] = revision + ("-dirty" if changed else "")
        tags["mlflow.source.git.commit"] = revision
    for tag, variable in (("dvc.experiment", "DVC_EXP_NAME"), ("dvc.baseline", "DVC_EXP_BASELINE_REV")):
        if value := os.environ.get(variable):
            tags[tag] = value
    return tags


def _git(root: Path, *args: str) -> str:
    """Output of a git command; empty where there is no git or no commit."""
    try:
        return subprocess.run(
            ["git", *args], cwd=root, capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
