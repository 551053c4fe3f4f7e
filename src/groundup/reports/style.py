"""The shared style of all pictures: legible on a laptop; equal data give files of equal bytes.

matplotlib is imported only when a picture is drawn. pyplot is not used, so no global state changes.
"""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec

from groundup.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

P = ParamSpec("P")

OURS = "groundup"
INK, SOFT, GRID = "#1b1f24", "#57606a", "#d8dee4"
COLOURS = {  # distinct for colour-blind readers (Okabe and Ito 2008)
    OURS: "#0072b2",
    "char_svm": "#d55e00",
    "naive_bayes": "#009e73",
    "logistic_regression": "#cc79a7",
    "majority": "#999999",
    "before": "#b8c4ce",
    "held_out": "#e69f00",
}
# for series that COLOURS does not name
CYCLE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999999")
STYLE = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so it is the same everywhere
    "font.size": 11.0,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": SOFT,
    "axes.titlesize": 12.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": f"cycler(color={list(CYCLE)})",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "legend.frameon": False,
    "legend.fontsize": 10.0,
    "lines.linewidth": 2.0,
    "svg.hashsalt": "groundup",
    "svg.fonttype": "none",
}
DPI = 130


def save(drawing: "Figure", path: Path) -> None:
    """Write a figure as PNG or SVG, as the suffix of the path says, without matplotlib's date and version."""
    from matplotlib import rc_context

    suffix = path.suffix.removeprefix(".")
    metadata = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}[suffix]
    with rc_context(STYLE), atomic_path(path) as temporary:
        drawing.savefig(temporary, format=suffix, dpi=DPI, metadata=metadata, facecolor="white")


def styled(draw: Callable[P, "Figure"]) -> Callable[P, "Figure"]:
    """Decorate a function that draws a figure, so that it runs with STYLE.

    matplotlib reads the style when it creates the parts of a figure.
    """

    @wraps(draw)
    def in_style(*args: P.args, **kwargs: P.kwargs) -> "Figure":
        from matplotlib import rc_context

        with rc_context(STYLE):
            return draw(*args, **kwargs)

    return in_style


def figure(width: float, height: float, columns: int = 1, rows: int = 1) -> tuple["Figure", list["Axes"]]:
    """Make a figure with `rows` × `columns` panels.

    Args:
        width: in inches.
        height: in inches.
        columns: number of panels side by side.
        rows: number of panels below each other.

    Returns:
        The figure and its panels, row by row.
    """
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(width, height), layout="constrained")
    return drawing, list(drawing.subplots(rows, columns, squeeze=False).flat)
