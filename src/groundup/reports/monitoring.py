"""The monitor's page of one window of messages: verdict, tests, distributions, and the trend over the windows.

A result is a dictionary of aggregates as in `groundup.monitoring.drift.compare`, with the facts about the window that
the flow adds (see `groundup.monitoring.results`). `python -m groundup.reports.monitoring
reports/monitoring/WINDOW.json` draws the page of a window again.
"""

import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groundup.errors import BadInput
from groundup.files import write_text
from groundup.monitoring.results import read_result, read_results
from groundup.reports.pages import fill
from groundup.reports.style import COLOURS, CYCLE, GRID, OURS, SOFT, figure, save, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Result = Mapping[str, Any]

# inches, for two or three pictures side by side; on a phone they are one below the other
WIDTH, PANEL = 5.3, 4.2
# if one bin has a larger share of the messages, the other bins would be invisible on a linear scale
MOST = 0.5
SHOWN_WINDOWS = 30  # most windows in the trend
REFERENCE, WINDOW, ALARM = COLOURS["before"], COLOURS[OURS], COLOURS["char_svm"]
TITLES = {
    "characters": "Length",
    "bytes_per_token": "Bytes per token",
    "unknown_share": "Unknown tokens",
    "ngrams": "Character n-grams",
    "embeddings": "Embeddings",
    "bits_per_byte": "Bits per byte",
    "confidence": "Confidence",
    "spam_probability": "Probability of spam",
    "errors": "Errors",
}
# by test: (sentence if the window's average is higher, sentence if it is lower, kind of average, format, unit)
CHANGES = {
    "characters": ("The messages are longer", "The messages are shorter", "median", "{:.0f}", " characters"),
    "bytes_per_token": (
        "The tokenizer needs fewer tokens",
        "The tokenizer needs more tokens",
        "median",
        "{:.2f}",
        " bytes per token",
    ),
    "unknown_share": (
        "The vocabulary covers less of the text",
        "The vocabulary covers more of the text",
        "mean",
        "{:.2%}",
        " unknown tokens",
    ),
    "bits_per_byte": (
        "The pretrained model predicts the text less well",
        "The pretrained model predicts the text better",
        "median",
        "{:.2f}",
        " bits per byte",
    ),
    "confidence": (
        "The champion is more certain",
        "The champion is less certain",
        "median probability",
        "{:.2%}",
        "",
    ),
    "spam_probability": (
        "The champion finds more spam",
        "The champion finds less spam",
        "mean probability",
        "{:.1%}",
        "",
    ),
    "errors": ("The champion makes more errors", "The champion makes fewer errors", "rate", "{:.1%}", ""),
}
AXES = {  # labels of the distributions
    "characters": "characters per message",
    "bytes_per_token": "bytes per token",
    "unknown_share": "unknown tokens, share of a message",
    "bits_per_byte": "bits per byte under the pretrained model",
    "confidence": "the champion's confidence",
    "spam_probability": "the champion's probability of spam",
}


def verdict(result: Result) -> str:
    """Return in one sentence whether a window of messages has drifted, and in which tests."""
    total, found = len(result["tests"]), [test for test in result["tests"] if test["violation"]]
    if found:
        names = ", ".join(TITLES[test["name"]].lower() for test in found)
        return f"Drift: the window differs from the reference in {len(found)} of {total} tests ({names})."
    return f"No drift: all {total} differences are within what chance produces."


def change(test: Result) -> str:
    """Return in plain words how the window differs from the reference according to one test.

    >>> change({"name": "characters", "reference": 60.0, "window": 112.0, "statistic": 0.4})
    'The messages are longer: a median of 112 characters instead of 60.'
    """
    if test["name"] not in CHANGES:
        seen = {"ngrams": "character n-grams", "embeddings": "embeddings"}[test["name"]]
        return (
            f"A classifier that sees only {seen} ranks a message of the window above one of the reference in "
            f"{test['statistic']:.0%} of the pairs; 50% would mean that it cannot tell them apart."
        )
    more, less, average, form, unit = CHANGES[test["name"]]
    before, now = (form.format(test[side]) for side in ("reference", "window"))
    if before == now:
        return (
            f"{TITLES[test['name']]}: the {average} is the same ({now}{unit}), but the distributions are "
            f"{test['statistic']:.0%} apart."
        )
    subject = more if test["window"] > test["reference"] else less
    return f"{subject}: a {average} of {now}{unit} instead of {before}."


def changes(result: Result) -> list[str]:
    """Return the sentence of `change` for every test that raised the alarm, the most significant first."""
    return [change(t) for t in sorted(result["tests"], key=lambda t: t["p"]) if t["violation"]]


def page(result: Result, earlier: Sequence[Result]) -> str:
    """Return the page of a window as HTML.

    Args:
        result: the result of the window.
        earlier: the results of the windows before it, in order.
    """
    trend = [*earlier, result][-SHOWN_WINDOWS:]
    with tempfile.TemporaryDirectory() as folder:
        pictures = Path(folder)
        save(effects(result), pictures / "effects.png")
        for name, shares in result["distributions"].items():
            save(distribution(name, shares), pictures / f"{name}.png")
        if len(trend) > 1:
            save(significance(trend), pictures / "significance.png")
            save(separability(trend), pictures / "separability.png")
        values = {
            "verdict": verdict(result),
            "changes": changes(result),
            "titles": TITLES,
            "axes": AXES,
            "forms": {name: form for name, (*_, form, _) in CHANGES.items()},
            "trend": trend,
            "pictures": pictures,
        }
        return fill("monitoring.html.j2", {**result, **values})


def _difference(test: Result, value: float) -> float:
    """Return a test's statistic on a scale on which 0 is no difference and 1 the largest: 2 AUC - 1 for classifiers."""
    return 2 * value - 1 if test["name"] not in CHANGES else value


@styled
def effects(result: Result) -> "Figure":
    """Draw the difference that each test measured, and the range in which chance alone puts 95%."""
    tests = result["tests"]
    drawing, [axes] = figure(WIDTH, 0.9 + 0.42 * len(tests))
    for row, test in enumerate(reversed(tests)):
        low, high = (_difference(test, value) for value in test["chance"])
        axes.barh(
            row, high - low, left=low, height=0.55, color=GRID, label="chance (95%)" if row == 0 else "_"
        )
        colour = ALARM if test["violation"] else WINDOW
        axes.plot(_difference(test, test["statistic"]), row, "o", color=colour, markersize=9)
    axes.set_yticks(range(len(tests)), [TITLES[test["name"]] for test in reversed(tests)])
    axes.set_xlabel("difference (0: none)")
    axes.set_xlim(right=max(0.2, axes.get_xlim()[1]))
    axes.grid(axis="y", visible=False)
    _mark(axes, {"alarm": ALARM, "no alarm": WINDOW})
    drawing.legend(loc="outside lower center", ncols=3)
    return drawing


def _mark(axes: "Axes", colours: Mapping[str, str]) -> None:
    """Add one entry per label to the legend, with a dot of its colour."""
    for label, colour in colours.items():
        axes.plot([], [], "o", color=colour, label=label)


@styled
def distribution(name: str, shares: Mapping[str, Sequence[float]]) -> "Figure":
    """Draw the shares of the messages per bin, in the reference and in the window."""
    import numpy as np

    drawing, [axes] = figure(PANEL, 2.8)
    axes.stairs(shares["reference"], shares["edges"], fill=True, color=REFERENCE, label="reference")
    axes.stairs(shares["window"], shares["edges"], color=WINDOW, linewidth=2, label="window")
    axes.set_xlabel(AXES[name])
    skewed = max(*shares["reference"], *shares["window"]) > MOST
    if skewed:
        axes.set_yscale("function", functions=(np.sqrt, np.square))
        axes.set_yticks((0, 0.01, 0.05, 0.2, 0.5, 1))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set_ylabel("messages" + (" (square root scale)" if skewed else ""))
    axes.set_ylim(bottom=0)
    drawing.legend(loc="outside upper right", ncols=2)
    return drawing


def _windows(axes: "Axes", trend: Sequence[Result]) -> None:
    """Label the windows on the x axis; if there are more than six, only some."""
    step = -(-len(trend) // 6)
    places = range(len(trend) - 1, -1, -step)
    names = [trend[i]["window"].rpartition("-")[0] for i in places]
    short = [name if len(name) <= 12 else f"…{name[-11:]}" for name in names]
    axes.set_xticks(list(places), short, rotation=30, ha="right")
    axes.set_xlim(-0.5, len(trend) - 0.5)


@styled
def significance(trend: Sequence[Result]) -> "Figure":
    """Draw the smallest corrected p-value of every window, and the level below which it raises the alarm."""
    drawing, [axes] = figure(WIDTH, 3.3)
    smallest = [min(test["p_corrected"] for test in result["tests"]) for result in trend]
    axes.plot(range(len(trend)), smallest, color=SOFT, linewidth=1)
    colours = [ALARM if result["violation"] else WINDOW for result in trend]
    axes.scatter(range(len(trend)), smallest, color=colours, s=60, zorder=3)
    rate = trend[-1]["false_alarm_rate"]
    axes.axhline(rate, color=ALARM, linestyle=(0, (5, 2)), linewidth=1.5, label=f"alarm below {rate:g}")
    axes.set_yscale("log")
    axes.set_ylabel("smallest corrected p-value")
    _windows(axes, trend)
    _mark(axes, {"alarm": ALARM, "no alarm": WINDOW})
    drawing.legend(loc="outside upper right", ncols=3)
    return drawing


@styled
def separability(trend: Sequence[Result]) -> "Figure":
    """Draw the AUC with which each of the two classifiers tells every window from the reference."""
    drawing, [axes] = figure(WIDTH, 3.3)
    for colour, name in zip(CYCLE, ("ngrams", "embeddings"), strict=False):
        found = [next(t["statistic"] for t in result["tests"] if t["name"] == name) for result in trend]
        axes.plot(range(len(trend)), found, "o-", color=colour, label=TITLES[name].lower())
    axes.axhline(0.5, color=SOFT, linestyle=":", linewidth=1.5, label="chance")
    axes.set_ylabel("AUC, window against reference")
    axes.set_ylim(min(0.45, axes.get_ylim()[0]), max(0.8, axes.get_ylim()[1]))
    _windows(axes, trend)
    drawing.legend(loc="outside upper right", ncols=3)
    return drawing


def command(words: list[str]) -> None:
    """Write the page of each file of results next to it; exit with one sentence on an error."""
    if not words:
        sys.exit("usage: python -m groundup.reports.monitoring reports/monitoring/WINDOW.json")
    for path in map(Path, words):
        try:
            result, ordered = read_result(path), read_results(path.parent)
        except BadInput as error:
            sys.exit(f"error: {error}")
        before = ordered[: [found["window"] for found in ordered].index(result["window"])]
        write_text(path.with_suffix(".html"), page(result, before))
        print(path.with_suffix(".html"))


if __name__ == "__main__":
    command(sys.argv[1:])
