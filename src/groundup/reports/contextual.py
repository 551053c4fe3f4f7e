"""The study's page on the step from static to contextual word vectors.

In all functions, `rows` are the "rows" of reports/study/metrics/contextual.json.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groundup.files import read_json
from groundup.reports.pages import fill
from groundup.reports.style import CYCLE, SOFT, figure, save, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Rows = Sequence[Mapping[str, Any]]


def draw(metrics: Path, curves: Path, shown: Path, pictures: Path) -> str:
    """Draw the pictures of the page on contextual vectors, and return its HTML.

    Args:
        metrics: folder with contextual.json.
        curves: not used.
        shown: folder with contextual.json, the pairs of sentences that the page shows.
        pictures: folder to write to.
    """
    facts = read_json(metrics / "contextual.json")
    save(word_in_context(facts["rows"]), pictures / "word_in_context.png")
    save(geometry(facts["rows"]), pictures / "geometry.png")
    values = {
        **facts,
        "pairs": read_json(shown / "contextual.json"),
        "last_layers": {name: rows[-1] for name, rows in _by_model(facts["rows"]).items()},
        "value_of": value_of,
        "pictures": pictures,
    }
    return fill("contextual.html.j2", values)


def _by_model(rows: Rows) -> dict[str, list[Mapping[str, Any]]]:
    """Return the rows of contextual vectors at the word itself: name of the model -> rows in order of the layers."""
    models: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["layer"] is not None and "geometry" in row:
            models.setdefault(row["vectors"], []).append(row)
    return models


def _static(rows: Rows, *, own: bool) -> list[Mapping[str, Any]]:
    return [row for row in rows if row["layer"] is None and ("geometry" in row) == own]


def _layers(axes: "Axes", rows: Rows) -> None:
    depth = max(row["layer"] for row in rows if row["layer"] is not None)
    axes.set_xticks(range(depth + 1), ["0\n(input)", *(str(layer) for layer in range(1, depth + 1))])
    axes.set_xlabel("layer")
    axes.set_xlim(-0.25, depth + 0.25)


@styled
def word_in_context(rows: Rows) -> "Figure":
    """Draw the area under the ROC curve on word-in-context pairs by layer, with intervals.

    Static vectors, which have no layers, are horizontal lines.
    """
    drawing, [axes] = figure(8.6, 4.8)
    models = _by_model(rows)
    for number, (name, layers) in enumerate(models.items()):
        scores = [row["cosine"]["auc"] for row in layers]
        low_high = [[s["mean"] - s["low"] for s in scores], [s["high"] - s["mean"] for s in scores]]
        shifted = [row["layer"] + 0.05 * (number - (len(models) - 1) / 2) for row in layers]
        axes.errorbar(
            shifted,
            [s["mean"] for s in scores],
            low_high,
            marker="o",
            capsize=3,
            color=CYCLE[number],
            label=name,
        )
    for number, row in enumerate(_static(rows, own=False), start=len(models)):
        axes.axhline(
            row["cosine"]["auc"]["mean"],
            color=CYCLE[number % len(CYCLE)],
            linewidth=1.5,
            linestyle=(0, (5, 2)),
            label=f"{row['vectors']}: mean of the surrounding words",
        )
    names = " and ".join(row["vectors"] for row in _static(rows, own=True))
    axes.axhline(
        0.5, color=SOFT, linewidth=1.5, linestyle=":", label=f"{names}: one vector per word (chance)"
    )
    _layers(axes, rows)
    axes.set_title("Does a word mean the same in two sentences?")
    axes.set_ylabel("area under the ROC curve")
    drawing.legend(loc="outside lower center", ncols=2)
    return drawing


@styled
def geometry(rows: Rows) -> "Figure":
    """Draw the geometry of word vectors by layer, in three panels.

    They show the anisotropy, and by how much self-similarity and intra-sentence similarity exceed it.
    """
    drawing, panels = figure(12.5, 4.4, columns=3)
    titles = {
        "anisotropy": "Anisotropy: two different words",
        "self_similarity": "One word in two messages, minus it",
        "intra_sentence": "A word and its message, minus it",
    }
    for axes, (key, title) in zip(panels, titles.items(), strict=True):
        for number, (name, layers) in enumerate(_by_model(rows).items()):
            values = [value_of(row["geometry"], key) for row in layers]
            label = name if key == "anisotropy" else "_"
            axes.plot([row["layer"] for row in layers], values, marker="o", color=CYCLE[number], label=label)
        for number, row in enumerate(_static(rows, own=True), start=len(_by_model(rows))):
            axes.axhline(
                value_of(row["geometry"], key),
                color=CYCLE[number % len(CYCLE)],
                linewidth=1.5,
                linestyle=(0, (5, 2)),
                label=row["vectors"] if key == "anisotropy" else "_",
            )
        _layers(axes, rows)
        axes.set_title(title)
        axes.set_ylim(min(0.0, axes.get_ylim()[0]), 1.02)
    panels[0].set_ylabel("mean cosine")
    drawing.legend(loc="outside lower center", ncols=5)
    return drawing


def value_of(shape: Mapping[str, float], key: str) -> float:
    """Return the value that is drawn for `key`: the anisotropy itself, or another mean cosine minus the anisotropy."""
    return shape[key] - (0.0 if key == "anisotropy" else shape["anisotropy"])
