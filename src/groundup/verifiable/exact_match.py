"""Exact match of responses, per task family and overall, with 95% intervals.

The caller passes the `check` that decides whether a response is right (see verifiable/answers.py).
"""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Check = Callable[[str, str, str, str], bool]  # family, instruction, input, response -> right?


def score(rows: Sequence[Mapping[str, Any]], responses: Sequence[str], check: Check) -> dict[str, Any]:
    """Grade `responses[i]` as the answer to the instruction row `rows[i]`.

    Returns:
        {"exact_match": share of right answers over all rows, "macro_exact_match": mean of the families'
        shares, "instances": number of rows, "families": {family: {"exact_match", "instances"}}}. Each share
        is {"mean", "low", "high"}, where low and high are the ends of a 95% interval. Families are in
        alphabetical order. Without rows, shares are 0 with the interval [0, 1].
    """
    assert len(rows) == len(responses), f"{len(rows)} rows, {len(responses)} responses"
    right: dict[str, list[bool]] = defaultdict(list)
    for row, response in zip(rows, responses, strict=True):
        right[row["family"]].append(check(row["family"], row["instruction"], row["input"], response))
    families = {name: share(sum(right[name]), len(right[name])) for name in sorted(right)}
    return {
        "exact_match": share(sum(map(sum, right.values())), len(rows)),
        "macro_exact_match": mean_of(list(families.values())),
        "instances": len(rows),
        "families": {
            name: {"exact_match": share, "instances": len(right[name])} for name, share in families.items()
        },
    }


def share(right: int, count: int) -> dict[str, float]:
    """Return right / count with its 95% interval of Wilson (1927), which is valid for small counts and near 0 and 1."""
    if not count:
        return {"mean": 0.0, "low": 0.0, "high": 1.0}
    from scipy.stats import binomtest  # takes a second to import

    interval = binomtest(right, count).proportion_ci(confidence_level=0.95, method="wilson")
    # At the ends, rounding would leave 1e-17 instead of exactly 0 and 1.
    low = 0.0 if right == 0 else float(interval.low)
    high = 1.0 if right == count else float(interval.high)
    return {"mean": right / count, "low": low, "high": high}


def mean_of(shares: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of independent shares with its 95% interval.

    The squared distances between the shares and their limits add up (Zou and Donner 2008).
    """
    if not shares:
        return {"mean": 0.0, "low": 0.0, "high": 1.0}
    mean = math.fsum(share["mean"] for share in shares) / len(shares)
    below = math.sqrt(math.fsum((share["mean"] - share["low"]) ** 2 for share in shares)) / len(shares)
    above = math.sqrt(math.fsum((share["high"] - share["mean"]) ** 2 for share in shares)) / len(shares)
    return {"mean": mean, "low": max(0.0, mean - below), "high": min(1.0, mean + above)}
