"""The study's page on word embeddings: benchmarks of the vectors, compared with gensim's, and pictures of them."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groundup.embeddings.benchmarks import ANALOGIES, BENCHMARKS
from groundup.files import read_json
from groundup.reports.pages import fill
from groundup.reports.style import CYCLE, INK, SOFT, figure, save, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARKERS = "os^D"  # shapes of points; the next shape is used when all colours are used up


def draw(metrics: Path, curves: Path, shown: Path, pictures: Path) -> str:
    """Draw the pictures of the page on word embeddings, and return its HTML.

    Args:
        metrics: folder with embeddings.json.
        curves: not used.
        shown: folder with embeddings.json, the neighbours and layouts of words.
        pictures: folder to write to.
    """
    surroundings = read_json(shown / "embeddings.json")
    order = [entry["set"] for entry in surroundings["neighbours"]]
    results = in_order(read_json(metrics / "embeddings.json"), order)
    for name, corpus in results["corpora"].items():
        save(benchmark_scores(corpus["benchmarks"]), pictures / f"scores_{name}.png")
    layout = {entry["set"]: entry["points"] for entry in surroundings["layout"]}
    save(neighbourhoods(layout), pictures / "neighbourhoods.png")
    values = {
        **results,
        "neighbours": {entry["set"]: entry["words"] for entry in surroundings["neighbours"]},
        "analogies": ANALOGIES,
        "pictures": pictures,
    }
    return fill("embeddings.html.j2", values)


def in_order(results: Mapping[str, Any], sets: Sequence[str]) -> dict[str, Any]:
    """Sort the metrics of word embeddings as the page shows them; in the file, keys are sorted by name.

    Args:
        results: the content of embeddings.json, metrics of the stage compare_embeddings.
        sets: the names of all sets of vectors, such as "groundup cbow", in the order of the page.
    """
    methods = [name.partition(" ")[2] for name in sets]
    features = [f"{name}, {corpus}" for corpus in results["corpora"] for name in sets]
    spam = results["spam"]
    corpora = {
        corpus: table
        | {
            "benchmarks": {
                title: entry
                | {
                    "scores": _picked(entry["scores"], sets),
                    "difference": _picked(entry["difference"], methods),
                }
                for title, entry in _picked(table["benchmarks"], BENCHMARKS).items()
            }
        }
        for corpus, table in results["corpora"].items()
    }
    return {
        **results,
        "corpora": corpora,
        "speed": _picked(results["speed"], methods),
        "spam": {
            "features": _picked(
                spam["features"], [*(n for n in spam["features"] if n not in features), *features]
            ),
            "difference": _picked(spam["difference"], features),
        },
    }


def _picked(table: Mapping[str, Any], order: Iterable[str]) -> dict[str, Any]:
    return {name: table[name] for name in order if name in table}


@styled
def benchmark_scores(table: Mapping[str, Mapping[str, Any]]) -> "Figure":
    """Draw the scores of word vectors: one panel per benchmark, one dot with its interval per set of vectors.

    Dots of gensim's vectors are hollow.

    Args:
        table: {benchmark: {"items", "of", "scores": {set: {"mean", "low", "high"}}}}.
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
        axes.locator_params(axis="x", nbins=4)  # more labels would touch each other
        if title == ANALOGIES:
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:.1%}")
        axes.set_title(title)
        axes.set_xlabel(f"{entry['items']:,} of {entry['of']:,} items", color=SOFT)
    return drawing


@styled
def neighbourhoods(panels_of: Mapping[str, Sequence[Mapping[str, Any]]]) -> "Figure":
    """Draw words and their nearest neighbours as points, one panel per set of vectors.

    A word and its neighbours have the same colour and shape; the word itself is larger and bold.

    Args:
        panels_of: {set: [{"word", "group", "x", "y"}]}, where "group" is the word whose neighbour "word" is.
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
    """Return the colour of a set of vectors, which depends only on the method: equal for groundup's and gensim's."""
    methods = ("skipgram", "cbow", "glove")
    return CYCLE[next((place for place, method in enumerate(methods) if name.endswith(method)), -1)]
