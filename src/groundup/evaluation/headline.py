"""The headline metrics of the main pipeline, which `dvc metrics show` prints."""

from collections.abc import Mapping
from typing import Any


def headline(
    pretrain: Mapping[str, Any], spam: Mapping[str, Any], instructions: Mapping[str, Any]
) -> dict[str, float]:
    """Return the main pipeline's headline metrics: means without intervals, few enough for one line.

    Args:
        pretrain: metrics of pretraining, from reports/metrics.
        spam: the spam table, from reports/metrics.
        instructions: the instruction table, from reports/metrics.

    Returns:
        "bpb": bits per byte. "spam_f1". "unseen" and "held_out": exact match, left out if a split has no
        instances.
    """
    exact = {"unseen": "unseen_instances", "held_out": "held_out_families"}
    tasks = {name: instructions[key] for name, key in exact.items()}
    figures = {
        "bpb": pretrain["val"]["bpb"],
        "spam_f1": spam["test"]["f1"]["mean"],
        **{name: part["exact_match"]["mean"] for name, part in tasks.items() if part["instances"]},
    }
    return {name: round(value, 4) for name, value in figures.items()}
