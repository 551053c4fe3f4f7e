"""Draw the pictures of the main report: one panel each, legible on a phone."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from groundup.evaluation.baselines import TITLES
from groundup.evaluation.metrics import RANKING, calibration_bins
from groundup.evaluation.spam_results import Answers
from groundup.reports.style import COLOURS, INK, OURS, SOFT, figure, styled
from groundup.text.counts import counted
from groundup.text.labels import LABELS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GRAMMAR = "grammar/"  # what the columns of the training curve begin with
PANEL = 4.6  # inches: three side by side on a page
MIN_IN_BIN = 5  # the calibration plot leaves out bins with fewer messages, which show only noise


@styled
def confusion_matrix(answers: Answers) -> "Figure":
    """Draw the confusion matrix of the finetuned spam classifier: mean counts over seeds, and shares of each label."""
    drawing, [axes] = figure(PANEL, 3.9)
    counts = np.array(
        [
            [np.mean(np.sum((answers.truth == t) & (answers.pred == p), axis=1)) for p in (0, 1)]
            for t in (0, 1)
        ]
    )
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.15)
    for (row, column), share in np.ndenumerate(shares):
        axes.text(column, row, f"{counts[row, column]:,.1f}\n{share:.1%}", ha="center", va="center", fontsize=13,
                  color="white" if share > 0.6 else INK)  # fmt: skip
    axes.set_xticks((0, 1), [f"predicted {name}" for name in LABELS])
    axes.set_yticks((0, 1), [f"is {name}" for name in LABELS])
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.set_title(f"Test messages, mean of {counted(len(answers.seeds), 'seed')}")
    return drawing


@styled
def roc(answers: Answers) -> "Figure":
    """Draw ROC curves of the spam baselines, and one thin curve per seed of the finetuned classifier.

    The legend gives the areas under the curves; for the finetuned classifier, the mean over seeds.
    """
    from sklearn.metrics import roc_curve

    drawing, [axes] = figure(PANEL, 4.4)
    for row, style in _rankings(answers, "roc_auc"):
        false, true, _ = roc_curve(answers.truth, row)
        axes.plot(false, true, **style)
    axes.set(
        title="ROC (area)",
        xlabel="share of ham classified as spam (square root scale)",
        ylabel="share of spam found",
    )
    axes.set_xscale("function", functions=(np.sqrt, np.square))
    axes.set_xticks((0, 0.01, 0.05, 0.1, 0.25, 0.5, 1), ("0", "1%", "5%", "10%", "25%", "50%", "100%"))
    axes.set(xlim=(0, 1.005), ylim=(-0.02, 1.02))
    axes.legend(loc="lower right")
    return drawing


@styled
def precision_recall(answers: Answers) -> "Figure":
    """Draw precision-recall curves of the spam baselines, and one thin curve per seed of the finetuned classifier.

    The legend gives the areas under the curves; for the finetuned classifier, the mean over seeds.
    """
    from sklearn.metrics import precision_recall_curve

    drawing, [axes] = figure(PANEL, 4.4)
    for row, style in _rankings(answers, "pr_auc"):
        precision, recall, _ = precision_recall_curve(answers.truth, row)
        axes.step(recall, precision, where="post", **style)
    axes.set(title="Precision and recall (area)", xlabel="recall: share of spam found", ylabel="precision")
    axes.set(xlim=(0, 1.005), ylim=(-0.02, 1.02))
    axes.legend(loc="lower left")
    return drawing


def _rankings(answers: Answers, area: str) -> Iterator[tuple[npt.NDArray[np.float64], dict[str, Any]]]:
    """Yield the scores (n,) of each spam classifier with the style of its curve, for ROC and precision-recall curves.

    The finetuned classifier has one curve per seed. Each system has one entry in the legend.

    Args:
        answers: all predictions.
        area: the metric in the legend, "roc_auc" or "pr_auc".
    """
    once = np.ones((1, len(answers.truth)))
    rankings = {name: np.atleast_2d(p.ranking) for name, p in answers.baselines.items() if name != "majority"}
    for name, rows in {**rankings, OURS: answers.prob}.items():
        mean = np.mean([RANKING[area](answers.truth, row, once)[0] for row in rows])
        for number, row in enumerate(rows):
            label = f"_{TITLES.get(name, OURS)}" if number else f"{TITLES.get(name, OURS)}: {mean:.3f}"
            yield row, {"color": COLOURS[name], "linewidth": 1.3 if len(rows) > 1 else 2.0, "label": label}


@styled
def calibration(answers: Answers) -> "Figure":
    """Draw the calibration of spam classifiers: the share of spam against the mean probability in each bin.

    A larger marker stands for more messages; bins with fewer than MIN_IN_BIN are left out.
    """
    drawing, [axes] = figure(PANEL, 4.4)
    axes.plot((0, 1), (0, 1), color=SOFT, linewidth=1, linestyle="--", label="perfect")
    systems = {
        name: p.prob for name, p in answers.baselines.items() if p.prob is not None and name != "majority"
    }
    for name, prob in {**systems, OURS: answers.prob.ravel()}.items():
        assert prob is not None
        truth = np.tile(answers.truth, len(prob) // len(answers.truth))
        bins = [b for b in calibration_bins(truth, prob) if b["count"] >= MIN_IN_BIN]
        x, y = [b["prob"] for b in bins], [b["share"] for b in bins]
        axes.plot(x, y, color=COLOURS[name], linewidth=1.2, label=TITLES.get(name, OURS))
        axes.scatter(x, y, s=[12 + 260 * b["count"] / len(prob) for b in bins], color=COLOURS[name])
    axes.set(
        title="Calibration",
        xlabel="mean probability of spam",
        ylabel="share of spam",
        xlim=(-0.03, 1.03),
        ylim=(-0.03, 1.03),
    )
    axes.legend(loc="upper left")
    return drawing


@styled
def spam_scores(table: Mapping[str, Any], metric: str) -> "Figure":
    """Draw one metric of the spam table with intervals, for all systems except the majority class.

    Args:
        table: the result of `spam_results.table`.
        metric: "accuracy", "f1" or "mcc".
    """
    drawing, [axes] = figure(PANEL, 2.9)
    systems = {name: table["baselines"][name] for name in TITLES if name != "majority"}
    systems[OURS] = table["test"]
    for place, (name, scores) in enumerate(systems.items()):
        entry = scores[metric]
        axes.hlines(place, entry["low"], entry["high"], color=COLOURS[name], linewidth=3)
        axes.plot(entry["mean"], place, "o", color=COLOURS[name], markersize=8)
        above: dict[str, Any] = {"xytext": (0, 7), "textcoords": "offset points", "ha": "center"}
        axes.annotate(f"{entry['mean']:.3f}", (entry["mean"], place), **above, fontsize=10, color=INK)
    names = [TITLES.get(name, name).replace(", ", ",\n") for name in systems]
    axes.set_yticks(range(len(systems)), names)
    axes.set_ylim(-0.5, len(systems) - 0.4)
    axes.margins(x=0.12)
    axes.locator_params(axis="x", nbins=4)
    axes.set_title({"accuracy": "Accuracy", "f1": "F1 of spam", "mcc": "MCC"}[metric])
    return drawing


@styled
def loss_curve(rows: Sequence[Mapping[str, float]], title: str, unit: str) -> "Figure":
    """Draw the loss of a training against its steps, on training batches and, where it was measured, on val.

    For one seed, the loss on training batches is pale and its running mean strong. For several seeds, the
    line is the mean of the seeds' running means at the steps that all seeds have, and a pale band reaches
    from the lowest to the highest seed. The loss on val has a dot at each evaluation.

    Args:
        rows: rows of the training curve, with "step", "train/loss" and perhaps "val/loss" and "seed"; nan: no value.
        title: title of the picture.
        unit: unit of the loss.
    """
    drawing, [axes] = figure(PANEL, 3.6)
    seeds = sorted({row.get("seed", 0) for row in rows})
    curves = [_points(rows, "train/loss", seed) for seed in seeds]
    steps = sorted(set.intersection(*(set(curve) for curve in curves)))
    train = np.array([[curve[step] for step in steps] for curve in curves])
    smooth = np.array([_running_mean(losses) for losses in train])
    many = len(seeds) > 1
    if many:
        bounds = smooth.min(axis=0), smooth.max(axis=0)
        axes.fill_between(
            steps, *bounds, color=COLOURS[OURS], alpha=0.25, linewidth=0, label="lowest to highest seed"
        )
    else:
        axes.plot(steps, train[0], color=COLOURS[OURS], alpha=0.3, linewidth=0.8)
    name = f"train, mean of {len(seeds)} seeds" if many else "train"
    axes.plot(steps, smooth.mean(axis=0), color=COLOURS[OURS], label=name)
    for number, seed in enumerate(seeds):
        if val := _points(rows, "val/loss", seed):
            label = "_val" if number else "val"
            axes.plot([*val], [*val.values()], "o-", color=COLOURS["char_svm"], markersize=4, label=label)
    axes.set(title=title, xlabel="step", ylabel=f"loss, {unit}")
    axes.legend()
    return drawing


def _points(rows: Sequence[Mapping[str, float]], column: str, seed: float) -> dict[float, float]:
    """Return one column of a training curve for one seed: {step: value}, without missing values."""
    own = [row for row in rows if row.get("seed", 0) == seed]
    return {row["step"]: row[column] for row in own if not np.isnan(row.get(column, np.nan))}


@styled
def grammar(table: Mapping[str, Any]) -> "Figure":
    """Draw the share of right decisions of each grammatical phenomenon, best first; n-grams are hollow.

    Args:
        table: the result of `grammar.decisions.table` for the systems "model" and "ngrams".
    """
    found = table["phenomena"]
    order = sorted(found, key=lambda name: -found[name]["accuracy"]["model"]["mean"])
    drawing, [axes] = figure(PANEL, 1.7 + 0.3 * len(order))
    axes.axvline(table["chance"], color=SOFT, linestyle="--", linewidth=1, label="chance")
    for place, name in enumerate(order):
        entry = found[name]["accuracy"]
        axes.hlines(place, entry["model"]["low"], entry["model"]["high"], color=COLOURS[OURS], linewidth=3)
        axes.plot(entry["model"]["mean"], place, "o", color=COLOURS[OURS], label=OURS if not place else None)
        axes.plot(
            entry["ngrams"]["mean"],
            place,
            "o",
            color=COLOURS["char_svm"],
            markerfacecolor="none",
            label="n-grams" if not place else None,
        )
    axes.set_yticks(range(len(order)), [f"{name} ({found[name]['pairs']})" for name in order])
    axes.invert_yaxis()
    axes.set_xlim(-0.03, 1.03)
    axes.set_xticks(np.arange(0, 1.01, 0.25), [f"{tick:.0%}" for tick in np.arange(0, 1.01, 0.25)])
    axes.grid(False, axis="y")
    drawing.suptitle("Grammar: right decisions (pairs)", weight="bold", fontsize=12)
    drawing.legend(loc="outside lower center", ncols=3)
    return drawing


@styled
def grammar_learned(rows: Sequence[Mapping[str, float]], chance: float) -> "Figure":
    """Draw how the decisions of each grammatical phenomenon change during pretraining, one small panel each.

    Args:
        rows: rows of the training curve, with "step" and "grammar/<phenomenon>"; nan: no value.
        chance: the share of right decisions by chance.
    """
    names = [name for name in rows[0] if name.startswith(GRAMMAR)]
    columns = 2  # three would need letters that are too small for a phone
    lines = max(1, -(-len(names) // columns))
    drawing, panels = figure(PANEL, 0.8 + 0.9 * lines, columns, lines)
    steps = (0, max(row["step"] for row in rows))
    for axes, name in zip(panels, names, strict=False):
        points = {row["step"]: row[name] for row in rows if not math.isnan(row[name])}
        axes.axhline(chance, color=SOFT, linestyle="--", linewidth=1)
        axes.plot([*points], [*points.values()], "o-", color=COLOURS[OURS], markersize=3, linewidth=1.5)
        axes.set_title(name.removeprefix(GRAMMAR), fontsize=9)
        axes.set_xlim(-0.05 * steps[1], 1.05 * steps[1])
        axes.set_xticks(steps, [f"{step:,.0f}" for step in steps], fontsize=9)
        axes.set_ylim(-0.05, 1.05)
        axes.set_yticks((0, 0.5, 1), ("0%", "50%", "100%"), fontsize=9)
    for axes in panels[len(names) :]:
        axes.set_visible(False)
    drawing.suptitle("Grammar during pretraining, by step", weight="bold", fontsize=12)
    return drawing


def _running_mean(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Smooth a curve: return the mean of each window of 1/25 of the values, which is shorter at both ends."""
    window = np.ones(max(1, len(values) // 25))
    return np.convolve(values, window, "same") / np.convolve(np.ones(len(values)), window, "same")


@styled
def exact_match_by_family(families: Mapping[str, Mapping[str, Any]]) -> "Figure":
    """Draw exact match by task family: one bar with its interval per family, and a thin grey bar.

    The grey bar is exact match before finetuning. Held-out families follow the trained ones, each group best first.

    Args:
        families: the "families" of `instruction_results.table`.
    """
    order = sorted(families, key=lambda n: (families[n]["held_out"], -families[n]["exact_match"]["mean"], n))
    drawing, [axes] = figure(PANEL, 1.9 + 0.27 * max(1, len(order)))
    for place, name in enumerate(order):
        entry, before = families[name]["exact_match"], families[name]["before"]
        colour = COLOURS["held_out"] if families[name]["held_out"] else COLOURS[OURS]
        error = [[entry["mean"] - entry["low"]], [entry["high"] - entry["mean"]]]
        style: dict[str, Any] = {"color": colour, "error_kw": {"ecolor": INK, "elinewidth": 1}}
        axes.barh(
            place, entry["mean"], 0.62, xerr=np.maximum(0, error), **style
        )  # rounded ends may cross by 1e-6
        axes.barh(place + 0.36, before["mean"], 0.12, color=COLOURS["before"])
    axes.set_yticks(range(len(order)), [f"{name} ({families[name]['instances']})" for name in order])
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_ylim(len(order) - 0.4, -0.6)
    axes.set_xticks(np.arange(0, 1.01, 0.2), [f"{tick:.0%}" for tick in np.arange(0, 1.01, 0.2)])
    axes.grid(False, axis="y")
    drawing.suptitle("Exact match by task family (instances)", weight="bold", fontsize=12)
    from matplotlib.patches import Patch

    kinds = {
        "trained family, unseen instances": OURS,
        "held-out family": "held_out",
        "before finetuning": "before",
    }
    handles = [Patch(color=COLOURS[key], label=label) for label, key in kinds.items()]
    drawing.legend(handles=handles, loc="outside lower center")
    return drawing
