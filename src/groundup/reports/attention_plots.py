"""Attention maps: how much each token of a text looks at each token of it, or of another text.

A row is a token that looks, a column one that is looked at; a row sums to 1. What may not be looked at is hatched.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from groundup.reports.style import GRID, INK, SOFT, figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

INCHES = 0.26  # a token
NUMBERS = 12  # up to this many tokens a side, each cell also says its weight


@styled
def attention_map(
    weights: "NDArray[np.floating]", rows: Sequence[str], columns: Sequence[str], title: str
) -> "Figure":
    """One panel, or one for each head, two side by side.

    Args:
        weights: (T, S), or (H, T, S).
        rows: the T tokens that look.
        columns: the S tokens looked at.
    """
    heads = np.asarray(weights, dtype=float).reshape(-1, *np.shape(weights)[-2:])
    assert heads.shape[1:] == (len(rows), len(columns)), (heads.shape, len(rows), len(columns))
    across = min(2, len(heads))
    down = -(-len(heads) // across)
    width, height = _size(rows, columns)
    drawing, panels = figure(across * width, down * (height + 0.3) + 0.4, across, down)
    for number, (axes, head) in enumerate(zip(panels, heads, strict=False)):
        _map(axes, head, rows, columns)
        if len(heads) > 1:
            axes.set_title(f"head {number + 1}", fontsize=10.5)
    for axes in panels[len(heads) :]:
        axes.set_axis_off()
    drawing.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    return drawing


@styled
def mask_patterns(
    patterns: Sequence[tuple[str, "NDArray[np.bool_]", Sequence[str], Sequence[str]]],
) -> "Figure":
    """Who may look at whom, a panel a model: blue may, hatched may not.

    Args:
        patterns: (title, (T, S) True where something was looked at, the T rows, the S columns).
    """
    sizes = [_size(rows, columns) for *_, rows, columns in patterns]
    width, height = (max(side) for side in zip(*sizes, strict=True))
    drawing, panels = figure(width * len(patterns), height + 0.3, columns=len(patterns))
    for axes, (title, seen, rows, columns) in zip(panels, patterns, strict=True):
        _map(axes, np.where(seen, 0.55, 0.0), rows, columns, numbers=False)
        axes.set_aspect("equal", anchor="N")
        axes.set_title(title, fontsize=10.5)
    return drawing


def _size(rows: Sequence[str], columns: Sequence[str]) -> tuple[float, float]:
    """Width and height of a panel in inches: labels of neighbouring tokens must not touch."""
    labels = 0.085 * max(map(len, [*rows, *columns]), default=0) + 0.3
    return max(4.2, INCHES * len(columns) + labels), max(1.8, INCHES * len(rows) + labels)


def _map(
    axes: "Axes",
    weights: "NDArray[np.floating]",
    rows: Sequence[str],
    columns: Sequence[str],
    numbers: bool = True,
) -> None:
    """Weights (T, S) as shades of blue; cells of exactly 0 are out of sight and hatched."""
    from matplotlib.patches import Rectangle

    axes.imshow(weights, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    for row, column in zip(*np.nonzero(weights == 0), strict=True):
        corner = (column - 0.5, row - 0.5)
        axes.add_patch(Rectangle(corner, 1, 1, facecolor="white", edgecolor=GRID, hatch="////", linewidth=0))
    if numbers and max(weights.shape) <= NUMBERS:
        for (row, column), weight in np.ndenumerate(weights):
            if weight >= 0.01:
                axes.text(column, row, f"{100 * weight:.0f}", ha="center", va="center", fontsize=7,
                          color="white" if weight > 0.55 else INK)  # fmt: skip
    text: dict[str, Any] = {"fontsize": 9, "color": INK, "parse_math": False}  # a token may hold a $
    axes.set_xticks(range(len(columns)), columns, rotation=90, **text)
    axes.set_yticks(range(len(rows)), rows, **text)
    axes.set_xticks(np.arange(0.5, len(columns) - 1), minor=True)
    axes.set_yticks(np.arange(0.5, len(rows) - 1), minor=True)
    axes.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    axes.tick_params(which="minor", length=0)
    axes.grid(False)
    axes.grid(True, which="minor", color="white", linewidth=0.8)
    axes.set_axisbelow(False)
    axes.spines[:].set_visible(True)
    axes.spines[:].set_color(SOFT)
