"""The page about published weights: every starting point in one table, and what the intervals say about it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from groundup.evaluation.starting_points import STEPS
from groundup.reports.pages import fill

TITLES = {
    "random": "random weights",
    "pretrained": "pretrained by the main pipeline",
    "instructed": "pretrained, finetuned on the tasks",
    "published": "published, as released",
    "lora": "published, finetuned with LoRA",
    "dpo": "published, LoRA and DPO",
}


def render(found: Mapping[str, Any], plots: Path) -> str:
    """The page.

    Args:
        found: what the stage compare measured.
        plots: folder with starting_points.png and preferences.png.
    """
    return fill("starting_points.html.j2", {"found": found, "titles": TITLES, "steps": STEPS, "plots": plots})
