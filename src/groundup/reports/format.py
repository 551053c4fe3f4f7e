"""Format numbers and intervals for pages. An entry is {"mean", "low", "high"}."""

from collections.abc import Mapping

Entry = Mapping[str, float]


def number(value: float) -> str:
    """Format a number with separators: 1234567 -> "1,234,567"."""
    return f"{value:,}"


def decimals(value: float, digits: int = 2) -> str:
    """Format a number with fixed decimals: -0.00123 -> "0.00", without a minus before zero."""
    return f"{value:z.{digits}f}"


def share(value: float, digits: int = 1) -> str:
    """Format a share as a percentage: 0.98765 -> "98.8%"."""
    return f"{value:.{digits}%}"


def interval(entry: Entry, digits: int = 3, scale: float = 1) -> str:
    """Format a mean and its bounds: "0.931 (0.920–0.942)", or only the mean if the bounds are equal.

    All numbers are multiplied by `scale`.
    """
    mean, low, high = (f"{entry[key] * scale:.{digits}f}" for key in ("mean", "low", "high"))
    if entry["low"] == entry["high"]:
        return mean
    return f"{mean} ({low}{' to ' if entry['low'] < 0 else '–'}{high})"


def percent(entry: Entry) -> str:
    """Format a share and its bounds as percentages: "35.0% (34.1%–35.9%)"."""
    mean, low, high = (f"{entry[key]:.1%}" for key in ("mean", "low", "high"))
    return f"{mean} ({low}–{high})"


def difference(entry: Entry, digits: int = 3, scale: float = 1) -> str:
    """Format a difference and its bounds with signs: "+0.05 (-0.01 to +0.11)".

    All numbers are multiplied by `scale`.
    """
    mean, low, high = (f"{entry[key] * scale:+.{digits}f}" for key in ("mean", "low", "high"))
    return f"{mean} ({low} to {high})"


def starred(entry: Entry, digits: int = 3, scale: float = 1) -> str:
    """Format a difference for a table, followed by * if it is significant."""
    return difference(entry, digits, scale) + (" *" if significant(entry) else "")


def significant(entry: Entry) -> bool:
    """Return whether a difference is significant: its interval excludes 0."""
    return entry["low"] > 0 or entry["high"] < 0
