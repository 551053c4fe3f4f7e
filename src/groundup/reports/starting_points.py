"""The page of the transfer pipeline: a table and pictures of all starts (models that are compared), and conclusions."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from groundup.evaluation.starting_points import STEPS
from groundup.reports.pages import fill
from groundup.reports.style import CYCLE, SOFT, figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLES = {
    "random": "random weights",
    "pretrained": "pretrained by the main pipeline",
    "instructed": "pretrained, finetuned on the tasks",
    "published": "downloaded, as released",
    "lora": "downloaded, finetuned with LoRA",
    "dpo": "downloaded, LoRA and DPO",
}


@styled
def overview(found: Mapping[str, Any]) -> "Figure":
    """Draw bits per byte, exact match on tasks, and F1 of spam for every start.

    Args:
        found: the result of `groundup.evaluation.starting_points.table`.
    """
    starts = {name: found["starts"][name] for name in TITLES}  # the JSON file has them in another order
    drawing, axes = figure(12.0, 3.6, columns=3)
    places = np.arange(len(starts))[::-1]
    bits = [row["bits_per_byte"] for row in starts.values()]
    axes[0].barh(places, bits, color=CYCLE[0])
    axes[0].set(
        title="Bits per byte",
        xlabel="lower is better",
        yticks=places,
        yticklabels=[*TITLES.values()],
    )
    shares = (("test", "unseen instances", CYCLE[0], 0.2), ("held_out", "held-out families", CYCLE[1], -0.2))
    for split, label, colour, shift in shares:
        entries = [row[split]["exact_match"] for row in starts.values()]
        means = np.array([entry["mean"] for entry in entries])
        ends = np.array([[entry["low"], entry["high"]] for entry in entries]).T
        axes[1].barh(
            places + shift, means, 0.38, xerr=np.abs(ends - means), color=colour, label=label, ecolor=SOFT
        )
    axes[1].set(title="Tasks answered exactly", yticks=places, yticklabels=[], xlim=(0, 1))
    axes[1].legend(loc="upper right")
    entries = [row["spam"]["f1"] for row in starts.values()]
    means = np.array([entry["mean"] for entry in entries])
    ends = np.array([[entry["low"], entry["high"]] for entry in entries]).T
    axes[2].errorbar(means, places, xerr=np.abs(ends - means), fmt="o", color=CYCLE[0], capsize=3)
    axes[2].axvline(found["baseline"]["f1"]["mean"], color=CYCLE[1], linestyle="--")
    axes[2].set(
        title="F1 of spam on test",
        xlabel="dashed: character n-gram SVM",
        yticks=places,
        yticklabels=[],
        ylim=axes[1].get_ylim(),  # so that points and bars of one start are at the same height
    )
    return drawing


@styled
def preference_curves(rows: Sequence[Mapping[str, float]]) -> "Figure":
    """Draw the margin, accuracy and KL divergence of DPO on val against the steps.

    Margin and divergence begin at 0: before the first step, the model is the reference model.

    Args:
        rows: rows of the training curve.
    """
    drawing, axes = figure(12.0, 3.4, columns=3)
    scored = [row for row in rows if not np.isnan(row.get("val/margin", np.nan))]
    for panel, name, title in zip(
        axes,
        ("val/margin", "val/accuracy", "val/kl"),
        ("Margin of the rewards", "Pairs in the right order", "KL to the reference, nats per token"),
        strict=True,
    ):
        points = [(row["step"], row[name]) for row in scored]
        if name != "val/accuracy":
            points = [(0, 0.0), *points]
        panel.plot(*zip(*points, strict=True), marker="o")
        panel.set(title=title, xlabel="step", xlim=(0, None))
    axes[1].set_ylim(0, 1.02)
    return drawing


def render(found: Mapping[str, Any], plots: Path) -> str:
    """Return the HTML of the page of the transfer pipeline.

    Args:
        found: metrics of the stage compare.
        plots: folder with starting_points.png and preferences.png.
    """
    return fill("starting_points.html.j2", {"found": found, "titles": TITLES, "steps": STEPS, "plots": plots})
