"""The ladder of tokenizers as a picture."""

from typing import TYPE_CHECKING

from groundup.evaluation.figures import CYCLE, INK, SOFT, figure, styled
from groundup.evaluation.tokenizer_results import TITLES, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@styled
def ladder(found: Table) -> "Figure":
    """Bits per byte and spam F1 over bytes per token, with intervals over seeds; hollow: the text has lost a part."""
    drawing, panels = figure(11.5, 4.8, columns=2)
    for axes, key in zip(panels, TITLES, strict=True):
        for place, (name, row) in enumerate(found.items()):
            x, entry, colour = row["bytes_per_token"], row[key], CYCLE[place % len(CYCLE)]
            hollow = key == "val_bpb" and not row["comparable"]
            # two tokenizers of one granularity stand side by side, not on each other
            x += 0.03 * (place - len(found) / 2)
            axes.vlines(x, entry["low"], entry["high"], color=colour, linewidth=2)
            axes.plot(
                x,
                entry["mean"],
                "o",
                color=colour,
                markersize=8,
                markerfacecolor="white" if hollow else colour,
            )
            axes.annotate(name, (x, entry["mean"]), (7, 6 if place % 2 else -14), textcoords="offset points",
                          fontsize=9.5, color=INK)  # fmt: skip
        axes.set_xlabel("bytes per token on the validation text")
        axes.margins(x=0.16, y=0.12)
        axes.set_title({"val_bpb": "Bits per byte (lower is better)", "spam_f1": "F1 of spam on test"}[key])
    if any(not row["comparable"] for row in found.values()):
        panels[0].text(0.01, 0.02, "hollow: predicts less than the text", transform=panels[0].transAxes, color=SOFT,
                       fontsize=9.5)  # fmt: skip
    return drawing
