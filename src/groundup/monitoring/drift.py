"""The comparison of a window with the reference: tests, distributions, and performance where labels exist.

The result is a dictionary of aggregates, which the flow writes as JSON and `reports.monitoring` shows.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from groundup.errors import BadInput
from groundup.evaluation.metrics import Bootstrap, score
from groundup.monitoring.config import MonitorConfig
from groundup.monitoring.domain import auc, embedding_kernel, ngram_kernel, out_of_fold_scores
from groundup.monitoring.permutation import (
    Array,
    Members,
    corrected,
    ks_distance,
    mean_difference,
    permuted,
    stratified_folds,
)
from groundup.monitoring.samples import Messages
from groundup.text.labels import THRESHOLD

Statistic = Callable[[Messages, Members, npt.NDArray[np.int64]], Array]

BINS = 24
METRICS = ("accuracy", "precision", "recall", "f1", "mcc", "ece")
CHANCE = (0.025, 0.975)  # quantiles of a statistic among the permutations


def confidence_of(messages: Messages) -> Array:
    """Return the champion's probability of the label that it chose, (n,), 0.5 to 1."""
    return np.maximum(messages.spam_probability, 1 - messages.spam_probability)


def errors_of(messages: Messages) -> Array:
    """Return 1 for each message that the champion misclassifies, otherwise 0, (n,); every message needs a label."""
    return ((messages.spam_probability >= THRESHOLD) != messages.truth).astype(np.float64)


# what a test measures of each message
MEASURES: dict[str, Callable[[Messages], Array]] = {
    "characters": lambda messages: messages.characters,
    "bytes_per_token": lambda messages: messages.bytes_per_token,
    "unknown_share": lambda messages: messages.unknown_share,
    "bits_per_byte": lambda messages: messages.bits_per_byte,
    "confidence": confidence_of,
    "spam_probability": lambda messages: messages.spam_probability,
    "errors": errors_of,
}
# described by their means, the others by their medians
MEANS = ("unknown_share", "spam_probability", "errors")


def _distribution(measure: Callable[[Messages], Array]) -> Statistic:
    return lambda messages, member, folds: ks_distance(measure(messages), member)


def _classifier(kernel: Callable[[Messages], Array]) -> Statistic:
    def statistic(messages: Messages, member: Members, folds: npt.NDArray[np.int64]) -> Array:
        return auc(out_of_fold_scores(kernel(messages), member, folds), member)

    return statistic


# test -> its statistic; the larger it is, the more the window differs
TESTS: dict[str, Statistic] = {
    "characters": _distribution(MEASURES["characters"]),
    "bytes_per_token": _distribution(MEASURES["bytes_per_token"]),
    "unknown_share": _distribution(MEASURES["unknown_share"]),
    "ngrams": _classifier(lambda messages: ngram_kernel(messages.texts)),
    "embeddings": _classifier(lambda messages: embedding_kernel(messages.embeddings)),
    "bits_per_byte": _distribution(MEASURES["bits_per_byte"]),
    "confidence": _distribution(MEASURES["confidence"]),
    "spam_probability": lambda messages, member, folds: np.abs(
        mean_difference(messages.spam_probability, member)
    ),
    # only more errors than before are drift
    "errors": lambda messages, member, folds: mean_difference(errors_of(messages), member),
}


def compare(
    reference: Messages, window: Messages, config: MonitorConfig, bootstrap: Bootstrap
) -> dict[str, Any]:
    """Compare a window with the reference, without near duplicates in either (see `samples.draw`).

    Args:
        reference, window: their messages.
        config: the section `monitor` of params.yaml.
        bootstrap: for the intervals of the performance, if the window has labels.

    Returns:
        {"violation": bool, "false_alarm_rate", "permutations", "tests": [{"name", "statistic", "chance": [low, high]
        (95% of the permutations), "reference", "window" (mean or median of the measure in each sample, absent for the
        classifiers), "p", "p_corrected", "violation"}], "distributions": {measure: {"edges", "reference", "window"}},
        "performance": null or {"labelled", "window": {metric: {"mean", "low", "high"}}, "reference": {...}}}. The
        statistic of "ngrams" and "embeddings" is the AUC of a classifier, that of "spam_probability" and "errors" a
        difference of means, every other one a Kolmogorov-Smirnov distance.

    Raises:
        BadInput: reference or window has fewer messages than `config.min_messages`, or a score is not a number.
    """
    for name, messages in (("reference", reference), ("window", window)):
        if len(messages) < config.min_messages:
            raise BadInput(
                f"the {name} has {len(messages)} messages without near duplicates; expected at least "
                f"{config.min_messages} (monitor.min_messages): collect more messages"
            )
        scores = (messages.spam_probability, messages.bits_per_byte, messages.embeddings)
        if not all(np.isfinite(values).all() for values in scores):
            raise BadInput(
                f"some scores of the {name} are not numbers; expected numbers from the champion and the pretrained "
                "model: roll back or train again the one that is broken"
            )
    rng = np.random.default_rng(config.seed)
    both = reference + window
    inside = np.arange(len(both)) >= len(reference)
    folds = stratified_folds(inside, rng)
    member = permuted(inside, folds, config.permutations, rng)
    # if only some messages have labels, such as the least certain ones, these are not a random sample of the window
    names = [name for name in TESTS if name != "errors" or not np.isnan(both.truth).any()]
    statistics = np.stack([TESTS[name](both, member, folds) for name in names])
    tests = [
        {"name": name, "statistic": _rounded(row[0]), "chance": [*map(_rounded, np.quantile(row, CHANCE))]}
        | _levels(name, reference, window)
        | {
            "p": _rounded(p),
            "p_corrected": _rounded(all_p),
            "violation": bool(all_p <= config.false_alarm_rate),
        }
        for name, row, p, all_p in zip(names, statistics, *corrected(statistics), strict=True)
    ]
    return {
        "violation": any(test["violation"] for test in tests),
        "false_alarm_rate": config.false_alarm_rate,
        "permutations": config.permutations,
        "tests": tests,
        "distributions": {
            name: _histograms(measure(reference), measure(window))
            for name, measure in MEASURES.items()
            if name != "errors"
        },
        "performance": _performance(reference, window, bootstrap),
    }


def _levels(name: str, reference: Messages, window: Messages) -> dict[str, float]:
    """Return the mean or median of what the test measures, in reference and window."""
    if name not in MEASURES:
        return {}
    middle = np.mean if name in MEANS else np.median
    return {
        side: _rounded(middle(MEASURES[name](messages)))
        for side, messages in (("reference", reference), ("window", window))
    }


def _histograms(reference: Array, window: Array) -> dict[str, list[float]]:
    """Return the edges of the bins, and the share of each sample in each bin.

    The outer bins also contain the few values beyond them, so that no single message can be seen.
    """
    low, high = np.quantile(np.concatenate([reference, window]), [0.005, 0.995])
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    sides = {"reference": reference, "window": window}
    return {"edges": [*map(_rounded, edges)]} | {
        side: [*map(_rounded, np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0] / len(values))]
        for side, values in sides.items()
    }


def _performance(reference: Messages, window: Messages, bootstrap: Bootstrap) -> dict[str, Any] | None:
    """Return the champion's metrics with intervals on the labelled messages; None if the window has no labels."""
    labelled = int(np.count_nonzero(~np.isnan(window.truth)))
    if not labelled:
        return None
    return {"labelled": labelled} | {
        side: _scores(messages, bootstrap)
        for side, messages in (("reference", reference), ("window", window))
        if not np.isnan(messages.truth).all()
    }


def _scores(messages: Messages, bootstrap: Bootstrap) -> dict[str, Any]:
    known = ~np.isnan(messages.truth)
    truth, prob = messages.truth[known].astype(np.int64), messages.spam_probability[known]
    found = score(truth, bootstrap, pred=(prob >= THRESHOLD).astype(np.int64), prob=prob)
    return {name: found[name] for name in METRICS}


def _rounded(value: Any) -> float:
    return round(float(value), 6)
