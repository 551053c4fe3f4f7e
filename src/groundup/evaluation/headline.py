"""The few figures of a run that `dvc metrics show` prints."""

from collections.abc import Mapping
from typing import Any


def headline(
    pretrain: Mapping[str, Any], spam: Mapping[str, Any], instructions: Mapping[str, Any]
) -> dict[str, float]:
    """Means alone, few enough for one line of a terminal.

    Args:
        pretrain, spam, instructions: what reports/metrics holds under these names.

    Returns:
        {"bpb": bits per byte, "spam_f1", "unseen", "held_out": shares of exact answers, where there are instances}.
    """
    exact = {"unseen": "unseen_instances", "held_out": "held_out_families"}
    tasks = {name: instructions[key] for name, key in exact.items()}
    figures = {
        "bpb": pretrain["val"]["bpb"],
        "spam_f1": spam["test"]["f1"]["mean"],
        **{name: part["exact_match"]["mean"] for name, part in tasks.items() if part["instances"]},
    }
    return {name: round(value, 4) for name, value in figures.items()}
