"""The study's page on tokenizers: how each splits a sentence, how it was trained, and how it affects a model."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groundup.files import read_json
from groundup.reports.pages import fill
from groundup.reports.style import COLOURS, INK, OURS, SOFT, figure, save, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANELS = {
    "bytes_per_token": "Bytes per token",
    "val_bpb": "Bits per byte (lower is better)",
    "spam_f1": "F1 of spam on test",
}


def draw(metrics: Path, curves: Path, shown: Path, pictures: Path) -> str:
    """Draw the picture of the page on the tokenizers, and return its HTML.

    Args:
        metrics: folder with tokenizers.json.
        curves: not used.
        shown: not used.
        pictures: folder to write to.
    """
    found = read_json(metrics / "tokenizers.json")
    save(ladder({name: found["tokenizers"][name] for name in found["order"]}), pictures / "ladder.png")
    return render(found, pictures)


def render(found: Mapping[str, Any], pictures: Path) -> str:
    """Return the HTML of the page on the tokenizers.

    Args:
        found: metrics of the stage compare_tokenizers.
        pictures: the folder with ladder.png.
    """
    rows = {name: found["tokenizers"][name] for name in found["order"]}
    values = {
        "tokenizers": rows,
        "cuts": {name: found["cuts"][name] for name in rows},
        "idle": max(rows, key=lambda name: rows[name]["never_used"] * rows[name]["vocab_size"]),
        "ladder": pictures / "ladder.png",
    }
    return fill("tokenizers.html.j2", {**found, **values})


@styled
def ladder(found: Mapping[str, Mapping[str, Any]]) -> "Figure":
    """Draw the ladder of tokenizers: bytes per token, and the metrics of their models with intervals over seeds.

    Each tokenizer has one row. The marker for bits per byte is hollow if the tokenizer loses part of the text.

    Args:
        found: the result of `groundup.evaluation.tokenizer_results.table`.
    """
    drawing, panels = figure(11.5, 1.6 + 0.42 * len(found), columns=len(PANELS))
    for axes, (key, title) in zip(panels, PANELS.items(), strict=True):
        for place, row in enumerate(found.values()):
            hollow = key == "val_bpb" and not row["comparable"]
            value = row[key] if key == "bytes_per_token" else row[key]["mean"]
            if key != "bytes_per_token":
                axes.hlines(place, row[key]["low"], row[key]["high"], color=COLOURS[OURS], linewidth=3)
            face = "white" if hollow else COLOURS[OURS]
            axes.plot(
                value, place, "o", color=COLOURS[OURS], markersize=8, markerfacecolor=face, clip_on=False
            )
            axes.annotate(f"{value:.2f}", (value, place), (0, 7), textcoords="offset points", ha="center",
                          fontsize=9, color=INK)  # fmt: skip
        axes.set_yticks(range(len(found)), list(found) if axes is panels[0] else [])
        axes.set_ylim(len(found) - 0.5, -0.7)
        axes.margins(x=0.12)
        if key == "spam_f1":
            left, right = axes.get_xlim()
            axes.set_xlim(max(left, 0), min(right, 1))
        axes.set_title(title)
    if any(not row["comparable"] for row in found.values()):
        panels[1].set_xlabel(
            "hollow: part of the text is lost, so there is less to predict", color=SOFT, fontsize=9.5
        )
    return drawing
