"""The study's page on pretraining objectives: what decoder and encoder learned, and how much it helps to find spam."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from groundup.evaluation.transfer_results import LAST_STEPS
from groundup.files import read_json
from groundup.reports.pages import fill
from groundup.reports.style import CYCLE, SOFT, figure, save, styled
from groundup.training.curves import read_curve

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLES = {  # the systems of the stage transfer, in the order of the tables
    "masked": "encoder, pretrained on masked tokens",
    "causal": "decoder, pretrained on next tokens",
    "masked_random": "encoder, random weights",
    "causal_random": "decoder, random weights",
    "naive_bayes": "naive Bayes, words",
    "logistic_regression": "logistic regression, words",
}
COLOURS = {"masked": CYCLE[0], "causal": CYCLE[1]}
LOOKS: dict[str, dict[str, Any]] = {
    "masked": {"color": COLOURS["masked"], "marker": "o"},
    "causal": {"color": COLOURS["causal"], "marker": "s"},
    "masked_random": {"color": COLOURS["masked"], "marker": "o", "linestyle": "--", "mfc": "white"},
    "causal_random": {"color": COLOURS["causal"], "marker": "s", "linestyle": "--", "mfc": "white"},
    "naive_bayes": {"color": CYCLE[2], "marker": "^", "linestyle": ":"},
    "logistic_regression": {"color": CYCLE[3], "marker": "v", "linestyle": ":"},
}


def draw(metrics: Path, curves: Path, shown: Path, pictures: Path) -> str:
    """Draw the pictures of the page on the objectives, and return its HTML.

    Args:
        metrics: folder with objective_causal.json, objective_masked.json and transfer.json.
        curves: folder with objective_causal.csv and objective_masked.csv.
        shown: not used.
        pictures: folder to write to.
    """
    objectives = {name: read_json(metrics / f"objective_{name}.json") for name in ("causal", "masked")}
    transfer = read_json(metrics / "transfer.json")
    rows = {name: read_curve(curves / f"objective_{name}.csv") for name in objectives}
    save(accuracy_bars(objectives), pictures / "accuracy.png")
    save(pretraining_curves(rows), pictures / "curves.png")
    save(transfer_curve(transfer), pictures / "transfer.png")
    return render(objectives, transfer, pictures)


def render(objectives: Mapping[str, Any], transfer: Mapping[str, Any], pictures: Path) -> str:
    """Return the HTML of the page on the objectives.

    Args:
        objectives: objective -> metrics of the stage pretrain_objective.
        transfer: metrics of the stage transfer.
        pictures: the folder with accuracy.png, curves.png and transfer.png.
    """
    sizes = sorted(transfer["lead"], key=int)
    by_size: dict[str, Any] = {"lead": {size: transfer["lead"][size] for size in sizes}}
    for key in ("f1", "loss", "gain"):
        by_size[key] = {name: {size: row[size] for size in sizes} for name, row in transfer[key].items()}
    f1, gain = by_size["f1"], by_size["gain"]
    values = {
        "objectives": objectives,
        "transfer": {**transfer, **by_size},
        "largest": {name: max(row, key=lambda size: abs(row[size]["mean"])) for name, row in gain.items()},
        "best": {size: max(f1, key=lambda name: f1[name][size]["mean"]) for size in sizes},
        "last_steps": LAST_STEPS,
        "titles": TITLES,
        "pictures": {name: pictures / f"{name}.png" for name in ("accuracy", "curves", "transfer")},
    }
    return fill("objectives.html.j2", values)


@styled
def transfer_curve(transfer: Mapping[str, Any]) -> "Figure":
    """Draw F1 of spam against the number of labelled messages, with and without pretraining.

    Args:
        transfer: the result of `groundup.evaluation.transfer_results.table`.
    """
    drawing, [axes] = figure(7.4, 5.2)
    sizes = sorted(int(size) for size in transfer["f1"]["masked"])
    for number, (name, look) in enumerate(LOOKS.items()):
        entries = [transfer["f1"][name][str(size)] for size in sizes]
        x = [
            size * (1 + 0.03 * (number - 2.5)) for size in sizes
        ]  # shifted, so that intervals do not overlap
        means = np.array([entry["mean"] for entry in entries])
        ends = np.array([[entry["low"], entry["high"]] for entry in entries]).T
        error = np.abs(ends - means)
        axes.errorbar(x, means, yerr=error, capsize=3, elinewidth=1.2, label=TITLES[name], **look)
    axes.set_xscale("log")
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.set_xticks([], minor=True)
    axes.set(
        title=f"F1 of spam on test, {transfer['seeds']} seeds, {transfer['confidence']:.0%} intervals",
        xlabel="labelled training messages (logarithmic)",
        ylim=(max(axes.get_ylim()[0], -0.02), 1.02),  # so that markers at 0 and 1 are not cut
    )
    axes.legend(loc="lower right")
    return drawing


@styled
def pretraining_curves(curves: Mapping[str, Sequence[Mapping[str, float]]]) -> "Figure":
    """Draw loss and accuracy of both objectives on val against the number of training tokens.

    The training loss is drawn too, as a pale line.

    Args:
        curves: objective -> rows of its training curve.
    """
    drawing, (left, right) = figure(10.5, 4.2, columns=2)
    for name, rows in curves.items():
        label, colour = f"{TITLES[name].split(',')[0]}, {name}", COLOURS[name]
        million = np.array([row["tokens_seen"] for row in rows]) / 1e6
        train = np.array([row["train/loss"] for row in rows])
        width = max(1, len(train) // 50)  # the loss of single steps is too noisy to read
        smooth = np.convolve(train, np.ones(width) / width, mode="valid")
        left.plot(million[width - 1 :], smooth, color=colour, alpha=0.35, linewidth=1.5)
        for axes, column in ((left, "val/loss"), (right, "val/accuracy")):
            measured = [i for i, row in enumerate(rows) if not np.isnan(row.get(column, np.nan))]
            values = [rows[i][column] for i in measured]
            axes.plot(million[measured], values, color=colour, marker="o", markersize=4, label=label)
    left.set(title="Loss, nats per predicted token (pale: training)", xlabel="million tokens read")
    right.set(title="Accuracy on val", xlabel="million tokens read")
    right.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    for axes in (left, right):
        axes.legend()
    return drawing


@styled
def accuracy_bars(figures: Mapping[str, Mapping[str, Any]]) -> "Figure":
    """Draw the token accuracy of each objective's model and of its baselines.

    Args:
        figures: objective -> metrics of the stage pretrain_objective.
    """
    drawing, panels = figure(10.5, 2.9, columns=len(figures))
    titles = {
        "unigram": "most frequent token",
        "trigram": "counts of neighbours",
        "model": "model",
    }
    for axes, (name, facts) in zip(panels, figures.items(), strict=True):
        for place, system in enumerate(titles):
            entry = facts["accuracy"][system]
            colour = COLOURS[name] if system == "model" else SOFT
            axes.barh(place, entry["mean"], 0.6, color=colour)
            axes.hlines(place, entry["low"], entry["high"], color="black", linewidth=1.2)
            axes.annotate(
                f"{entry['mean']:.1%}",
                (entry["high"], place),
                xytext=(5, 0),
                textcoords="offset points",
                va="center",
                fontsize=10,
            )
        axes.set_yticks(range(len(titles)), titles.values() if axes is panels[0] else [])
        axes.set_xlim(
            0, 1.25 * max(entry["high"] for f in figures.values() for entry in f["accuracy"].values())
        )
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        axes.grid(False, axis="y")
        axes.set_title({"causal": "decoder: the next token", "masked": "encoder: a masked token"}[name])
    return drawing
