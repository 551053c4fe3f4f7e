"""The few metrics of a run that `dvc metrics show` prints."""

from collections.abc import Mapping
from typing import Any


def headline(
    pretrain: Mapping[str, Any], spam: Mapping[str, Any], instructions: Mapping[str, Any]
) -> dict[str, float]:
    """The headline metrics: means without intervals, few enough for one line of a terminal.

    Args:
        pretrain, spam, instructions: contents of the files with these names in reports/metrics.

    Returns:
        {"bpb": bits per byte, "spam_f1", "unseen", "held_out": exact match, left out for a split without instances}.
    """
    exact = {"unseen": "unseen_instances", "held_out": "held_out_families"}
    tasks = {name: instructions[key] for name, key in exact.items()}
    figures = {
        "bpb": pretrain["val"]["bpb"],
        "spam_f1": spam["test"]["f1"]["mean"],
        **{name: part["exact_match"]["mean"] for name, part in tasks.items() if part["instances"]},
    }
    return {name: round(value, 4) for name, value in figures.items()}
