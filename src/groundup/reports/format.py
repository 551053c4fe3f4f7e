"""Format numbers and intervals for the pages. An entry is {"mean", "low", "high"}."""

from collections.abc import Mapping

Entry = Mapping[str, float]


def number(value: float) -> str:
    """1234567 -> "1,234,567"."""
    return f"{value:,}"


def decimals(value: float, digits: int = 2) -> str:
    """-0.00123 -> "0.00": no minus in front of zero."""
    return f"{value:z.{digits}f}"


def share(value: float, digits: int = 1) -> str:
    """0.98765 -> "98.8%"."""
    return f"{value:.{digits}%}"


def interval(entry: Entry, digits: int = 3, scale: float = 1) -> str:
    """Mean and bounds, "0.931 (0.920–0.942)"; only the mean if the bounds are equal."""
    mean, low, high = (f"{entry[key] * scale:.{digits}f}" for key in ("mean", "low", "high"))
    if entry["low"] == entry["high"]:
        return mean
    return f"{mean} ({low}{' to ' if entry['low'] < 0 else '–'}{high})"


def percent(entry: Entry) -> str:
    """Mean and bounds of a fraction in per cent, "35.0% (34.1%–35.9%)"."""
    mean, low, high = (f"{entry[key]:.1%}" for key in ("mean", "low", "high"))
    return f"{mean} ({low}–{high})"


def difference(entry: Entry, digits: int = 3, scale: float = 1) -> str:
    """A difference with signs, "+0.05 (-0.01 to +0.11)"."""
    mean, low, high = (f"{entry[key] * scale:+.{digits}f}" for key in ("mean", "low", "high"))
    return f"{mean} ({low} to {high})"


def starred(entry: Entry, digits: int = 3, scale: float = 1) -> str:
    """A difference for a table, followed by * if it is significant."""
    return difference(entry, digits, scale) + (" *" if significant(entry) else "")


def significant(entry: Entry) -> bool:
    """Does the interval of a difference exclude 0?"""
    return entry["low"] > 0 or entry["high"] < 0
