"""The report of a run as one HTML page."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from groundup.evaluation.baselines import TITLES
from groundup.reports.pages import data_uri, fill

REFERENCE = "char_svm"  # the baseline to reach for


def render(facts: Mapping[str, Any], pictures: Path) -> str:
    """The page.

    Args:
        facts: "corpus", "spam_split", "instructions_split" (the prepare stages' report.json), "tokens" (meta.json of
            the shards), "pretrain", "spam", "instructions", "contamination" (reports/metrics), "samples" (rows),
            "confidence" (of the intervals).
        pictures: folder of PNG files, each shown under its name.
    """
    filters: dict[str, Callable[..., str]] = {"share": share, "number": number, "interval": interval}
    images = {path.stem: data_uri(path) for path in sorted(pictures.glob("*.png"))}
    sentence = comparison(facts["spam"], REFERENCE, "f1")
    values = {**facts, "titles": TITLES, "images": images, "sentence": sentence}
    return fill("reports/templates/report.html.j2", filters, values)


def headline(facts: Mapping[str, Any]) -> dict[str, float]:
    """The figures that `dvc metrics show` prints: means alone, few enough for one line of a terminal.

    Args:
        facts: as for `render`.
    """
    exact = {"unseen": "unseen_instances", "held_out": "held_out_families"}
    tasks = {name: facts["instructions"][key] for name, key in exact.items()}
    figures = {
        "bpb": facts["pretrain"]["val"]["bpb"],
        "spam_f1": facts["spam"]["test"]["f1"]["mean"],
        **{name: part["exact_match"]["mean"] for name, part in tasks.items() if part["instances"]},
    }
    return {name: round(value, 4) for name, value in figures.items()}


def comparison(spam: Mapping[str, Any], baseline: str, metric: str) -> str:
    """One sentence: is our classifier better or worse than a baseline, and is that more than chance?"""
    entry = spam["difference"][baseline][metric]
    low, high = f"{entry['low']:+.3f}", f"{entry['high']:+.3f}"
    verdict = "no more than chance would explain"
    if entry["significant"]:
        verdict = "better by more than chance" if entry["mean"] > 0 else "worse by more than chance"
    return (
        f"{metric.upper()} minus that of the {TITLES[baseline]}: {entry['mean']:+.3f}, interval {low} to {high} on the "
        f"same messages: {verdict}."
    )


def share(value: float) -> str:
    """0.98765 -> "98.8%"."""
    return f"{value:.1%}"


def number(value: float) -> str:
    """1234567 -> "1,234,567"."""
    return f"{value:,}"


def interval(entry: Mapping[str, float], digits: int = 3) -> str:
    """{"mean", "low", "high"} -> "0.970 (0.946–0.991)"."""
    return f"{entry['mean']:.{digits}f} ({entry['low']:.{digits}f}–{entry['high']:.{digits}f})"
