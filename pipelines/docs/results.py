"""Read the metrics of all pipelines, in the form that the templates use."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from groundup.reports.format import difference, significant
from pipelines.params import PIPELINES


def read_metrics(folder: Path) -> dict[str, Any]:
    """Read every JSON file in `folder`, keyed by its name without the suffix; subfolders become nested mappings."""
    found: dict[str, Any] = {}
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            found[path.name] = read_metrics(path)
        elif path.suffix == ".json":
            found[path.stem] = json.loads(path.read_text(encoding="utf-8"))
    return found


def outdated_inputs(root: Path) -> dict[str, list[str]]:
    """Return, by pipeline, the outputs of the main pipeline that have changed since the pipeline used them."""
    made = {out["path"]: out.get("md5") for entry in _locked(root, "main") for out in entry.get("outs", [])}
    found = {}
    for name in PIPELINES.keys() - {"main"}:
        used = {
            (dep["path"], dep.get("md5")) for entry in _locked(root, name) for dep in entry.get("deps", [])
        }
        if paths := sorted({path for path, md5 in used if path in made and md5 != made[path]}):
            found[name] = paths
    return dict(sorted(found.items()))


def _locked(root: Path, pipeline: str) -> list[dict[str, Any]]:
    """Return the entries of a pipeline's lock file; an empty list before its first run."""
    lock = (root / PIPELINES[pipeline].dvc_yaml).with_suffix(".lock")
    if not lock.is_file():
        return []
    return list(yaml.load(lock.read_text(encoding="utf-8"), yaml.CSafeLoader)["stages"].values())


def judged(entry: Mapping[str, float], digits: int = 3, scale: float = 1) -> str:
    """Format a difference with its interval and significance: "+0.010 (-0.013 to +0.035), not significant"."""
    return f"{difference(entry, digits, scale)}, {'' if significant(entry) else 'not '}significant"
