"""The metrics of all pipelines, as the templates read them."""

import json
from pathlib import Path
from typing import Any


def read_metrics(folder: Path) -> dict[str, Any]:
    """Every JSON file in `folder` by its name without the ending; subfolders are nested mappings."""
    found: dict[str, Any] = {}
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            found[path.name] = read_metrics(path)
        elif path.suffix == ".json":
            found[path.stem] = json.loads(path.read_text(encoding="utf-8"))
    return found


def judged(difference: dict[str, float]) -> str:
    """A difference with its interval, and whether it is significant: "+0.010 (-0.013 to +0.035), not significant"."""
    mean, low, high = (f"{difference[key]:+.3f}" for key in ("mean", "low", "high"))
    verdict = "significant" if difference["low"] > 0 or difference["high"] < 0 else "not significant"
    return f"{mean} ({low} to {high}), {verdict}"
