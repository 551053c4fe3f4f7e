"""Comparison of starts: bits per byte and exact match of each model, and F1 for spam after finetuning it.

Every score has an interval; differences are paired over the same messages or instances.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from groundup.evaluation.config import EvaluateConfig
from groundup.evaluation.metrics import Bootstrap, paired_difference
from groundup.evaluation.spam_results import Answers
from groundup.evaluation.spam_results import table as spam_table
from groundup.verifiable.answers import check_for

# in the order of the tables, from random weights to the most training; the keys in pipelines/transfer/dvc.yaml
STARTS = ("random", "pretrained", "instructed", "published", "lora", "dpo")
STEPS = (("lora", "published"), ("dpo", "lora"))  # a model, and the model that it was trained from
BASELINE = "char_svm"
METRICS = ("f1", "mcc")

Figures = Mapping[str, Any]
Rows = Sequence[Mapping[str, Any]]


def table(
    scores: Mapping[str, Figures], spam: Mapping[str, Answers], config: EvaluateConfig
) -> dict[str, Any]:
    """The table of starts.

    Args:
        scores: results of the stage evaluate_starts, by name of the start.
        spam: predictions of the classifiers finetuned from the same starts, all on the same test messages.

    Returns:
        {"starts": {name: {"parameters", "bits_per_byte", "bytes", "test", "held_out": exact match, "spam": {metric:
        {"mean", "low", "high"}}, "spam_difference": from the baseline, paired}}, "baseline": {metric: {…}}}.
    """
    bootstrap = Bootstrap(config.bootstrap_samples, config.confidence, config.seed)
    found: dict[str, Any] = {"starts": {}}
    for name, answers in spam.items():
        of_spam = spam_table(answers, config)
        baseline = answers.baselines[BASELINE]
        gaps = paired_difference(answers.truth, answers.pred, baseline.pred, bootstrap)
        found["starts"][name] = {
            **{key: scores[name][key] for key in ("parameters", "bits_per_byte", "bytes")},
            **{
                key: {k: scores[name][key][k] for k in ("exact_match", "instances")}
                for key in ("test", "held_out")
            },
            "spam": {metric: of_spam["test"][metric] for metric in METRICS},
            "spam_difference": {metric: gaps[metric] for metric in METRICS},
        }
        found["baseline"] = {metric: of_spam["baselines"][BASELINE][metric] for metric in METRICS}
    return found


def book_accuracy(book: Answers, config: EvaluateConfig) -> dict[str, Any]:
    """Accuracy on the book's split: {"accuracy", "per_seed", "baseline", "items": number of test messages}."""
    found = spam_table(book, config)
    return {
        "accuracy": found["test"]["accuracy"],
        "per_seed": {seed: row["accuracy"] for seed, row in found["per_seed"].items()},
        "baseline": found["baselines"][BASELINE]["accuracy"],
        "items": len(book.truth),
    }


def right_answers(responses: Mapping[str, Rows]) -> dict[str, list[bool]]:
    """Whether each response is right, by name of the model; all models answered the same rows."""
    check = check_for(next(iter(responses.values())))
    return {
        name: [check(row["family"], row["instruction"], row["input"], row["response"]) for row in rows]
        for name, rows in responses.items()
    }


def gains(
    responses: Mapping[str, Rows],
    right: Mapping[str, Sequence[bool]],
    config: EvaluateConfig,
) -> dict[str, Any]:
    """Exact match of each model of STEPS minus that of the model it was trained from, on the same instances.

    Args:
        responses: rows with "id" and "split", by name of the model, in the same order for all models.
        right: whether each response is right.

    Returns:
        {"lora - published": {"test": {"mean", "low", "high"}, "held_out": …}, …}
    """
    found: dict[str, Any] = {}
    rng = np.random.default_rng(config.seed)
    for after, before in STEPS:
        found[f"{after} - {before}"] = {}
        for split in ("test", "held_out"):
            rows = [i for i, row in enumerate(responses[after]) if row["split"] == split]
            assert [responses[after][i]["id"] for i in rows] == [responses[before][i]["id"] for i in rows]
            gap = np.array([float(right[after][i]) - float(right[before][i]) for i in rows])
            drawn = gap[rng.integers(len(gap), size=(config.bootstrap_samples, len(gap)))].mean(axis=1)
            tail = (1 - config.confidence) / 2
            low, high = np.quantile(drawn, [tail, 1 - tail])
            entry = {"mean": float(gap.mean()), "low": float(low), "high": float(high)}
            found[f"{after} - {before}"][split] = {name: round(value, 6) for name, value in entry.items()}
    return found


def headline(found: Figures) -> dict[str, float]:
    """The metrics that `dvc metrics show` prints: means without intervals, few enough for one line of a terminal."""
    published, lora = found["starts"]["published"], found["starts"]["lora"]
    figures = {
        "bpb": published["bits_per_byte"],
        "spam_f1": published["spam"]["f1"]["mean"],
        "unseen": lora["test"]["exact_match"]["mean"],
        "held_out": lora["held_out"]["exact_match"]["mean"],
    }
    return {name: round(value, 4) for name, value in figures.items()}
