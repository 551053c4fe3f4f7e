"""Intervals as the study's pages write them. An entry is {"mean", "low", "high"}."""

from collections.abc import Mapping

Entry = Mapping[str, float]


def interval(entry: Entry, digits: int = 3, scale: float = 1) -> str:
    """Mean and ends, "0.931 (0.920–0.942)"; the mean alone where nothing varies."""
    mean, low, high = (f"{entry[key] * scale:.{digits}f}" for key in ("mean", "low", "high"))
    if entry["low"] == entry["high"]:
        return mean
    return f"{mean} ({low}{' to ' if entry['low'] < 0 else '–'}{high})"


def percent(entry: Entry) -> str:
    """The same of a share: "35.0% (34.1%–35.9%)"."""
    mean, low, high = (f"{entry[key]:.1%}" for key in ("mean", "low", "high"))
    return f"{mean} ({low}–{high})"


def difference(entry: Entry, digits: int = 3, scale: float = 1) -> str:
    """A difference with its sign, "+0.05 (-0.01 to +0.11)"."""
    mean, low, high = (f"{entry[key] * scale:+.{digits}f}" for key in ("mean", "low", "high"))
    return f"{mean} ({low} to {high})"


def starred(entry: Entry, digits: int = 3, scale: float = 1) -> str:
    """The same in a table: with * where the interval leaves out 0."""
    return difference(entry, digits, scale) + (" *" if significant(entry) else "")


def significant(entry: Entry) -> bool:
    """Does the interval of a difference leave out 0?"""
    return entry["low"] > 0 or entry["high"] < 0


def by_chance(judged: int, confidence: float) -> str:
    """The remark that belongs to every list of differences."""
    return (
        f"{judged} differences are judged at {confidence:.0%}, so about {judged * (1 - confidence):.1f} of them would "
        f"count as significant by chance alone."
    )
