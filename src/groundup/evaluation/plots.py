"""The figures of the main report, in the house style."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from groundup.evaluation.baselines import TITLES
from groundup.evaluation.figures import COLOURS, INK, OURS, SOFT, figure, styled
from groundup.evaluation.metrics import RANKING, calibration_bins
from groundup.evaluation.spam_results import Answers
from groundup.labels import LABELS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MIN_IN_BIN = 5  # smaller bins of the calibration plot show chance, not calibration


@styled
def confusion_matrix(answers: Answers) -> "Figure":
    """Counts of the test messages by label and decision, mean over seeds, with shares of the label."""
    drawing, [axes] = figure(5.2, 4.2)
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
    axes.set_xticks((0, 1), [f"called {name}" for name in LABELS])
    axes.set_yticks((0, 1), [f"is {name}" for name in LABELS])
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.set_title(f"Test messages, mean of {len(answers.seeds)} seed(s)")
    return drawing


@styled
def roc_and_precision_recall(answers: Answers) -> "Figure":
    """ROC and precision-recall curves, a thin line a seed for ours; the legend gives the areas."""
    from sklearn.metrics import precision_recall_curve, roc_curve

    drawing, (left, right) = figure(11.5, 5.0, columns=2)
    once = np.ones((1, len(answers.truth)))
    rankings = {name: np.atleast_2d(p.ranking) for name, p in answers.baselines.items() if name != "majority"}
    for name, rows in {**rankings, OURS: answers.prob}.items():
        areas = {
            key: np.mean([metric(answers.truth, row, once)[0] for row in rows])
            for key, metric in RANKING.items()
        }
        for number, row in enumerate(rows):
            style: dict[str, Any] = {"color": COLOURS[name], "linewidth": 1.3 if len(rows) > 1 else 2.0}
            title = f"{TITLES.get(name, OURS)}: " if number == 0 else "_"  # one entry of the legend a system
            false, true, _ = roc_curve(answers.truth, row)
            precision, recall, _ = precision_recall_curve(answers.truth, row)
            left.plot(false, true, **style, label=f"{title}{areas['roc_auc']:.3f}")
            right.step(recall, precision, where="post", **style, label=f"{title}{areas['pr_auc']:.3f}")
    left.set(
        title="ROC (area)",
        xlabel="share of ham called spam (square root scale)",
        ylabel="share of spam found",
    )
    left.set_xscale("function", functions=(np.sqrt, np.square))
    left.set_xticks((0, 0.01, 0.05, 0.1, 0.25, 0.5, 1), ("0", "1%", "5%", "10%", "25%", "50%", "100%"))
    right.set(title="Precision and recall (area)", xlabel="recall: share of spam found", ylabel="precision")
    for axes in (left, right):
        axes.set_ylim(-0.02, 1.02)
        axes.set_xlim(0, 1.005)
        axes.legend(loc="lower left" if axes is right else "lower right")
    return drawing


@styled
def calibration(answers: Answers) -> "Figure":
    """Share of spam against mean probability in ten bins of some size; marks grow with the number of messages."""
    drawing, [axes] = figure(6.0, 5.2)
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
def spam_comparison(table: Mapping[str, Any]) -> "Figure":
    """Accuracy, F1 and MCC with intervals of all but the majority class; `table` as from `spam_results.table`."""
    shown = ("accuracy", "f1", "mcc")
    drawing, panels = figure(11.5, 3.4, columns=len(shown))
    systems = {name: table["baselines"][name] for name in TITLES if name != "majority"}
    systems[OURS] = table["test"]
    for axes, metric in zip(panels, shown, strict=True):
        for place, (name, scores) in enumerate(systems.items()):
            entry = scores[metric]
            axes.hlines(place, entry["low"], entry["high"], color=COLOURS[name], linewidth=3)
            axes.plot(entry["mean"], place, "o", color=COLOURS[name], markersize=8)
            place_of_text: dict[str, Any] = {
                "xy": (entry["mean"], place),
                "xytext": (0, 7),
                "textcoords": "offset points",
            }
            axes.annotate(f"{entry['mean']:.3f}", **place_of_text, ha="center", fontsize=9, color=INK)
        axes.set_yticks(
            range(len(systems)), [TITLES.get(name, name) for name in systems] if axes is panels[0] else []
        )
        axes.set_ylim(-0.6, len(systems) - 0.3)
        axes.margins(x=0.12)
        axes.set_title({"accuracy": "accuracy", "f1": "F1 of spam", "mcc": "MCC"}[metric])
    return drawing


@styled
def loss_curves(curves: Mapping[str, Sequence[Mapping[str, float]]]) -> "Figure":
    """One panel a training: every `…/loss` column over steps, val with dots; rows may have a "seed" and gaps."""
    drawing, panels = figure(4.2 * len(curves), 3.8, columns=len(curves))
    colours = {"train/loss": COLOURS[OURS], "val/loss": COLOURS["char_svm"]}
    for axes, (name, rows) in zip(panels, curves.items(), strict=True):
        for column, colour in colours.items():
            for number, seed in enumerate(sorted({row.get("seed", 0) for row in rows})):
                points = [(row["step"], row[column]) for row in rows
                          if row.get("seed", 0) == seed and not np.isnan(row.get(column, np.nan))]  # fmt: skip
                if points:
                    marker = "o" if column == "val/loss" else ""
                    axes.plot(*zip(*points, strict=True), color=colour, linewidth=1.5, marker=marker, markersize=4,
                              label=None if number else column.removesuffix("/loss"))  # fmt: skip
        axes.set(title=name, xlabel="step")
        axes.legend()
    panels[0].set_ylabel("loss, nats per term")
    return drawing


@styled
def exact_match_by_family(families: Mapping[str, Mapping[str, Any]]) -> "Figure":
    """A bar a task family with its interval, best first; grey: before finetuning; families held out come last.

    `families`: {name: {"exact_match": {"mean", "low", "high"}, "before": {same}, "held_out": bool, "instances": int}}.
    """
    order = sorted(families, key=lambda n: (families[n]["held_out"], -families[n]["exact_match"]["mean"], n))
    drawing, [axes] = figure(9.0, 1.4 + 0.27 * max(1, len(order)))
    for place, name in enumerate(order):
        entry, before = families[name]["exact_match"], families[name]["before"]
        colour = COLOURS["held_out"] if families[name]["held_out"] else COLOURS[OURS]
        error = [[entry["mean"] - entry["low"]], [entry["high"] - entry["mean"]]]
        style: dict[str, Any] = {"color": colour, "error_kw": {"ecolor": INK, "elinewidth": 1}}
        axes.barh(
            place, entry["mean"], 0.62, xerr=np.maximum(0, error), **style
        )  # rounded ends may cross by 1e-6
        axes.barh(place + 0.36, before["mean"], 0.12, color=COLOURS["before"])
    axes.set_yticks(
        range(len(order)), [f"{name} ({families[name]['instances']})" for name in order], fontsize=9.5
    )
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_ylim(len(order) - 0.4, -0.6)
    axes.set_xticks(np.arange(0, 1.01, 0.2), [f"{tick:.0%}" for tick in np.arange(0, 1.01, 0.2)])
    axes.grid(False, axis="y")
    axes.set_title("Exact match by task family (instances)")
    from matplotlib.patches import Patch

    kinds = {
        "trained family, unseen instances": OURS,
        "family held out whole": "held_out",
        "before finetuning": "before",
    }
    handles = [Patch(color=COLOURS[key], label=label) for label, key in kinds.items()]
    drawing.legend(handles=handles, loc="outside lower center", ncols=3)
    return drawing
