"""Format the results of `make bench` for the template of docs/benchmarks.md."""

from collections.abc import Mapping
from typing import Any


def figure(measured: Mapping[str, float], digits: int = 3) -> str:
    """Format a median with its range, to `digits` significant digits: "1,250 (869–1,270)"."""
    median, low, high = (_rounded(measured[name], digits) for name in ("median", "low", "high"))
    return f"{median} ({low}–{high})"


def verdicts(row: Mapping[str, Any], contender: str) -> str:
    """Format the goals of one contender: "1.02 (0.99–1.04) × nanoGPT; goal at least 1.2"."""
    return "<br>".join(_verdict(goal) for goal in row["goals"] if goal["contender"] == contender)


def code(versions: Mapping[str, str]) -> str:
    """Format the commit that was measured: "commit 1a2b3c4", with a + if files had changed since."""
    if "groundup" not in versions:  # the first figures were recorded without it
        return "*earlier code*"
    commit, _, changed = versions["groundup"].partition("-")
    return f"commit {commit[:7]}{'+' if changed else ''}"


def _verdict(goal: Mapping[str, Any]) -> str:
    if goal["reached"] is None:
        return "–"
    what = f" × {goal['reference']}" if "reference" in goal else f" {goal['figure']}"
    if goal.get("figure") == "speed":  # the column to the left has it
        what = ""
    aim = f"{'at most' if goal.get('at_most') else 'at least'} {goal.get('ratio', goal.get('value')):.3g}"
    reached = f"{figure(goal['reached'])}{what}"
    return f"{f'**{reached}**' if goal['met'] else reached}; goal {aim}"


def _rounded(value: float, digits: int) -> str:
    """Round to significant digits, but show all digits before the decimal point."""
    text = f"{float(f'{value:.{digits}g}'):,.10f}".rstrip("0").rstrip(".")
    return text if value < 10**digits else f"{float(f'{value:.{digits}g}'):,.0f}"
