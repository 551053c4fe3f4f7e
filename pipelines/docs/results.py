"""The metrics of all pipelines, in the form that the templates use."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from groundup.reports.format import difference, significant


def read_metrics(folder: Path) -> dict[str, Any]:
    """Read every JSON file in `folder`, keyed by its name without the suffix; subfolders become nested mappings."""
    found: dict[str, Any] = {}
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            found[path.name] = read_metrics(path)
        elif path.suffix == ".json":
            found[path.stem] = json.loads(path.read_text(encoding="utf-8"))
    return found


def judged(entry: Mapping[str, float], digits: int = 3, scale: float = 1) -> str:
    """Format a difference with its interval and significance: "+0.010 (-0.013 to +0.035), not significant"."""
    return f"{difference(entry, digits, scale)}, {'' if significant(entry) else 'not '}significant"
