"""Draw attention maps: how much each token attends to each token of the same or another text.

Rows are queries and sum to 1; columns are keys. Masked positions are hatched.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from groundup.reports.style import GRID, INK, SOFT, figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

INCHES = 0.26  # per token
NUMBERS = 12  # with at most this many tokens per side, each cell also shows its weight as a percentage


@styled
def attention_map(
    weights: "NDArray[np.floating]", rows: Sequence[str], columns: Sequence[str], title: str
) -> "Figure":
    """Draw an attention map: one panel, or one panel per head, two side by side.

    Args:
        weights: (T, S), or (H, T, S) for H heads; weights of 0 are drawn as masked.
        rows: the T query tokens.
        columns: the S key tokens.
        title: title of the picture.
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
    """Draw attention masks, one panel per model: blue where a position attends, hatched where it must not.

    Args:
        patterns: (title, mask, T query tokens, S key tokens) per model; the mask (T, S) is True where a position
            attends.
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
    """Return the width and height in inches of a panel whose neighbouring labels do not touch."""
    labels = 0.085 * max(map(len, [*rows, *columns]), default=0) + 0.3
    return max(4.2, INCHES * len(columns) + labels), max(1.8, INCHES * len(rows) + labels)


def _map(
    axes: "Axes",
    weights: "NDArray[np.floating]",
    rows: Sequence[str],
    columns: Sequence[str],
    numbers: bool = True,
) -> None:
    """Draw attention weights (T, S) as shades of blue; hatch cells of exactly 0, which are masked.

    `numbers`: also write the weights into the cells, as percentages, if there are at most NUMBERS tokens per side.
    """
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
    text: dict[str, Any] = {"fontsize": 9, "color": INK, "parse_math": False}  # a token may contain a $
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
