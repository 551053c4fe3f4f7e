"""Writes and reads the artifacts in lineage/ of a stage's run, from which its model can be traced later.

lock.json: the stage's name and its entry in dvc.lock without its outputs. environment.json: machine, packages, torch.
uncommitted.patch: the difference between the files and the last commit. They are needed because the lock file in git is
often that of an earlier run: results are committed after the run, or never.
"""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from groundup.lineage.repository import uncommitted
from groundup.tracking import Run
from groundup.tracking.environment import environment
from groundup.tracking.store import Connection

FOLDER = "lineage"
ENTRY, ENVIRONMENT, PATCH = "lock.json", "environment.json", "uncommitted.patch"
PATCH_CHARACTERS = 5_000_000  # a larger patch is not kept


def log_entry(run: Run, stage: str, entry: Mapping[str, Any]) -> None:
    """Log the inputs of a stage as lock.json.

    Args:
        run: the stage's run.
        stage: DVC's name of the stage in the project's folder.
        entry: `cmd`, `deps` and `params`, as DVC will write them to dvc.lock.
    """
    run.text(_json({"stage": stage, **entry}), f"{FOLDER}/{ENTRY}")


def log_changes(run: Run, root: Path) -> None:
    """Log the uncommitted changes in the folder in which the stage works, unless they exceed PATCH_CHARACTERS."""
    patch = uncommitted(root)
    if patch and len(patch) <= PATCH_CHARACTERS:
        run.text(patch, f"{FOLDER}/{PATCH}")


def log_environment(run: Run) -> None:
    """Log machine, packages and torch's settings; call it after the stage, since torch may be imported in it."""
    run.text(_json(environment()), f"{FOLDER}/{ENVIRONMENT}")


def read(connection: Connection, run_id: str, folder: str = FOLDER) -> dict[str, str]:
    """Return the text of each artifact in a folder of a run by its file name; empty if the run has no such folder."""
    client = connection.client
    names = [file.path for file in client.list_artifacts(run_id, folder)]
    with tempfile.TemporaryDirectory() as place:
        found = {}
        for name in names:
            local = Path(client.download_artifacts(run_id, name, place))
            found[local.name] = local.read_text(encoding="utf-8")
    return found


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, default=str) + "\n"
