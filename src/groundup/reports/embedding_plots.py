"""Charts of word vectors: scores of several sets with their intervals, and words laid out in two dimensions."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from groundup.reports.style import CYCLE, INK, SOFT, figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ANALOGIES = "Google analogies"  # the benchmark whose score is a share, not a correlation
MARKERS = "os^D"  # another shape for each round of the colours


@styled
def benchmark_scores(table: Mapping[str, Mapping[str, Any]]) -> "Figure":
    """A panel a benchmark, a dot with its interval a set of vectors; gensim's hollow.

    `table`: {benchmark: {"items", "of", "scores": {set: {"mean", "low", "high"}}}}.
    """
    drawing, panels = figure(3.7 * len(table), 3.4, columns=len(table))
    for axes, (title, entry) in zip(panels, table.items(), strict=True):
        for place, (name, score) in enumerate(entry["scores"].items()):
            colour = _colour_of(name)
            axes.hlines(place, score["low"], score["high"], color=colour, linewidth=3)
            face = "white" if name.startswith("gensim") else colour
            axes.plot(score["mean"], place, "o", color=colour, markerfacecolor=face, markersize=9)
            text = f"{score['mean']:.1%}" if title == ANALOGIES else f"{score['mean']:.2f}"
            axes.annotate(
                text, (score["mean"], place), (0, 8), textcoords="offset points",
                ha="center", fontsize=9, color=INK,
            )  # fmt: skip
        names = list(entry["scores"]) if axes is panels[0] else []
        axes.set_yticks(range(len(entry["scores"])), names or [""] * len(entry["scores"]))
        axes.set_ylim(len(entry["scores"]) - 0.5, -0.7)
        axes.margins(x=0.15)
        axes.locator_params(axis="x", nbins=4)  # more would touch each other
        if title == ANALOGIES:
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:.1%}")
        axes.set_title(title)
        axes.set_xlabel(f"{entry['items']:,} of {entry['of']:,} items", color=SOFT)
    return drawing


@styled
def neighbourhoods(panels_of: Mapping[str, Sequence[Mapping[str, Any]]]) -> "Figure":
    """A panel a set of vectors; a colour and shape a word and its neighbours, the word itself bold.

    `panels_of`: {set: [{"word", "group", "x", "y"}]}.
    """
    drawing, panels = figure(11.0, 7.2 * len(panels_of), rows=len(panels_of))
    for axes, (title, points) in zip(panels, panels_of.items(), strict=True):
        groups = list(dict.fromkeys(point["group"] for point in points))
        for point in points:
            turn, place = divmod(groups.index(point["group"]), len(CYCLE))
            marker, colour = MARKERS[turn % len(MARKERS)], CYCLE[place]
            centre = point["word"] == point["group"]
            axes.plot(point["x"], point["y"], marker, color=colour, markersize=9 if centre else 5)
            axes.annotate(
                point["word"], (point["x"], point["y"]), (5, 4), textcoords="offset points",
                fontsize=12 if centre else 9.5, fontweight="bold" if centre else "normal", color=INK,
            )  # fmt: skip
        axes.set_title(title)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.margins(0.1)
    return drawing


def _colour_of(name: str) -> str:
    """One colour a method, whoever made the vectors."""
    methods = ("skipgram", "cbow", "glove")
    return CYCLE[next((place for place, method in enumerate(methods) if name.endswith(method)), -1)]
