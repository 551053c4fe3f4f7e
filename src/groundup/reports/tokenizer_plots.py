"""The ladder of tokenizers as a picture."""

from typing import TYPE_CHECKING

from groundup.evaluation.tokenizer_results import Table
from groundup.reports.style import COLOURS, INK, OURS, SOFT, figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANELS = {
    "bytes_per_token": "Bytes per token",
    "val_bpb": "Bits per byte (low is good)",
    "spam_f1": "F1 of spam on test",
}


@styled
def ladder(found: Table) -> "Figure":
    """A line a tokenizer: how long its tokens are, and what the model makes of them, with intervals over seeds.

    Hollow: bits per byte of a text that has lost a part.
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
            "hollow: the text has lost a part, there is less to predict", color=SOFT, fontsize=9.5
        )
    return drawing
