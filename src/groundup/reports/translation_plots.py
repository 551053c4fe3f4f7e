"""Charts of the translation."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from groundup.evaluation.word_alignment import TranslationTable, words_of
from groundup.reports.attention_plots import attention_map
from groundup.reports.style import COLOURS, OURS, SOFT, figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@styled
def training_curve(history: Sequence[Mapping[str, float]], average: int = 50) -> "Figure":
    """Loss of train, a mean over `average` steps, and of val where it was measured."""
    drawing, (axes,) = figure(7.0, 3.6)
    steps = [row["step"] for row in history]
    losses = [row["train/loss"] for row in history]
    means = [sum(losses[max(0, i - average + 1) : i + 1]) / min(i + 1, average) for i in range(len(losses))]
    axes.plot(steps, means, color=SOFT, linewidth=1.4, label=f"train, mean of {average} steps")
    measured = [row for row in history if not math.isnan(row.get("val/loss", math.nan))]
    axes.plot(
        [row["step"] for row in measured],
        [row["val/loss"] for row in measured],
        color=COLOURS[OURS],
        marker="o",
        label="val",
    )
    axes.set_xlabel("step")
    axes.set_ylabel("nats a token")
    axes.set_title("Loss of the translation")
    axes.legend()
    return drawing


def model1_map(table: TranslationTable, source: str, target: str) -> "Figure":
    """Which word of `source`, or none (NULL), IBM Model 1 holds to have written each word of `target`."""
    read, written = words_of(source), words_of(target)
    return attention_map(table.posterior(read, written), written, [*read, "NULL"], "IBM Model 1")
