"""Metrics of a binary classifier (positive = spam), with bootstrap intervals over items, paired between systems.

Legend: S seeds, n items, R resamples. `truth` (n,): 0 or 1. `weights` (R, n): how often each item is counted.
`pred` (S, n): decisions, 0 or 1. `ranking` (S, n): higher = more like spam. `prob` (S, n): probability of spam.

An interval shows how a metric would vary with another sample of test items from the same source. The items
are drawn with replacement, all seeds are scored on the same draw, and the metric is the mean over seeds. The
interval therefore does not include the spread between seeds. The draws depend only on the bootstrap and n, so
the metrics of two systems on the same items are paired, draw by draw.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from groundup.errors import BadInput
from groundup.text.counts import counted

Array = npt.NDArray[Any]
Metric = Callable[[Array, Array, Array], Array]  # (truth (n,), answers (n,), weights (R, n)) -> (R,)
Interval = dict[str, float]  # {"mean", "low", "high"}

BINS = 10
CHUNK_CELLS = 2_000_000  # largest number of cells of `weights` in memory at once


def _ratio(above: Array, below: Array) -> Array:
    """Divide `above` by `below`; the result is 0 where `below` is 0, as in scikit-learn."""
    return np.divide(above, below, out=np.zeros(np.shape(above)), where=np.asarray(below) > 0)


def confusion(truth: Array, pred: Array, weights: Array) -> tuple[Array, Array, Array, Array]:
    """Compute the confusion matrix.

    Returns:
        The numbers of true positives, false positives, false negatives and true negatives, each (R,).
    """
    yes, said = truth == 1, pred == 1
    tp, fp, fn, tn = (
        weights @ cell.astype(float) for cell in (yes & said, ~yes & said, yes & ~said, ~yes & ~said)
    )
    return tp, fp, fn, tn


def accuracy(truth: Array, pred: Array, weights: Array) -> Array:
    """Compute the accuracy (R,): the share of items that are classified correctly."""
    return weights @ (truth == pred).astype(float) / weights.sum(axis=1)


def precision(truth: Array, pred: Array, weights: Array) -> Array:
    """Compute the precision (R,): the share of actual spam among the items predicted to be spam."""
    tp, fp, _, _ = confusion(truth, pred, weights)
    return _ratio(tp, tp + fp)


def recall(truth: Array, pred: Array, weights: Array) -> Array:
    """Compute the recall (R,): the share of the actual spam that is predicted to be spam."""
    tp, _, fn, _ = confusion(truth, pred, weights)
    return _ratio(tp, tp + fn)


def f1(truth: Array, pred: Array, weights: Array) -> Array:
    """Compute F1 (R,): the harmonic mean of precision and recall."""
    tp, fp, fn, _ = confusion(truth, pred, weights)
    return _ratio(2 * tp, 2 * tp + fp + fn)


def mcc(truth: Array, pred: Array, weights: Array) -> Array:
    """Compute the Matthews correlation coefficient (R,) of prediction and truth.

    It is 0 for a constant prediction at any class balance.
    """
    tp, fp, fn, tn = confusion(truth, pred, weights)
    return _ratio(tp * tn - fp * fn, np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)))


def _curve(truth: Array, ranking: Array, weights: Array) -> tuple[Array, Array]:
    """Count true and false positives at each threshold, for ROC and precision-recall curves.

    The thresholds are the distinct values of the ranking, highest first; items at or above a threshold count.

    Returns:
        True positives and false positives, each (R, number of thresholds).
    """
    order = np.argsort(-ranking, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(ranking[order])), len(order) - 1)
    sorted_weights, positive = weights[:, order], truth[order] == 1
    return np.cumsum(sorted_weights * positive, axis=1)[:, ends], np.cumsum(
        sorted_weights * ~positive, axis=1
    )[:, ends]


def roc_auc(truth: Array, ranking: Array, weights: Array) -> Array:
    """Compute the area under the ROC curve (R,); it is 0.5 if only one class occurs."""
    tp, fp = _curve(truth, ranking, weights)
    height = np.diff(tp, axis=1, prepend=0.0) / 2
    area = np.sum(np.diff(fp, axis=1, prepend=0.0) * (tp - height), axis=1)
    total = tp[:, -1] * fp[:, -1]
    return np.where(total > 0, _ratio(area, total), 0.5)


def pr_auc(truth: Array, ranking: Array, weights: Array) -> Array:
    """Compute the average precision (R,), the area under the precision-recall curve.

    It is 0 if there is no positive item.
    """
    tp, fp = _curve(truth, ranking, weights)
    return _ratio(np.sum(np.diff(tp, axis=1, prepend=0.0) * _ratio(tp, tp + fp), axis=1), tp[:, -1])


def brier(truth: Array, prob: Array, weights: Array) -> Array:
    """Compute the Brier score (R,): the mean squared difference of probability and truth."""
    return weights @ (prob - truth) ** 2 / weights.sum(axis=1)


def _bin_of(prob: Array) -> Array:
    return np.minimum((prob * BINS).astype(int), BINS - 1)


def ece(truth: Array, prob: Array, weights: Array) -> Array:
    """Compute the expected calibration error (R,) (Guo et al. 2017).

    It is the mean gap between probability and share of spam over ten bins of equal width, weighted by their
    size.
    """
    inside = np.eye(BINS)[_bin_of(prob)]  # (n, BINS)
    return np.abs((weights * (prob - truth)) @ inside).sum(axis=1) / weights.sum(axis=1)


def calibration_bins(truth: Array, prob: Array) -> list[dict[str, float]]:
    """Return the non-empty bins of the calibration error `ece`.

    Returns:
        {"prob": mean probability, "share": share of spam, "count": number of items} of each bin.
    """
    bins = _bin_of(prob)
    return [
        {
            "prob": float(prob[bins == b].mean()),
            "share": float(truth[bins == b].mean()),
            "count": int(np.sum(bins == b)),
        }
        for b in range(BINS)
        if np.any(bins == b)
    ]


DECISION: dict[str, Metric] = {
    "accuracy": accuracy,
    "precision": precision,
    "recall": recall,
    "f1": f1,
    "mcc": mcc,
}
RANKING: dict[str, Metric] = {"roc_auc": roc_auc, "pr_auc": pr_auc}
PROBABILITY: dict[str, Metric] = {"brier": brier, "ece": ece}


@dataclass(frozen=True)
class Bootstrap:
    """A bootstrap over test items, with percentile intervals.

    Attributes:
        samples: number of resamples.
        confidence: confidence level of the intervals.
        seed: seeds the draws.
    """

    samples: int
    confidence: float
    seed: int

    def interval(self, values: Array) -> tuple[float, float]:
        """Return the percentile interval of resampled values (R,): (low, high)."""
        tail = (1 - self.confidence) / 2
        low, high = np.quantile(values, [tail, 1 - tail])
        return float(low), float(high)

    def resample(self, truth: Array, answers: Array, metrics: dict[str, Metric]) -> dict[str, Array]:
        """Compute metrics on each resample of the items.

        Args:
            truth: (n,), 0 or 1.
            answers: (S, n), one row per seed.
            metrics: name -> metric.

        Returns:
            {metric: (R,)}, each the mean over the seeds.
        """
        rng = np.random.default_rng(self.seed)
        n, done = len(truth), 0
        parts: dict[str, list[Array]] = {name: [] for name in metrics}
        while done < self.samples:
            rows = min(self.samples - done, max(1, CHUNK_CELLS // n))
            weights = rng.multinomial(n, np.full(n, 1 / n), size=rows).astype(float)  # (rows, n)
            for name, metric in metrics.items():
                parts[name].append(np.mean([metric(truth, row, weights) for row in answers], axis=0))
            done += rows
        return {name: np.concatenate(values) for name, values in parts.items()}


def seed_interval(values: Sequence[float], confidence: float) -> Interval:
    """Compute the mean of a metric over seeds, with Student's t interval.

    The interval shows how the mean would vary with other seeds on the same items.

    Args:
        values: one per seed.
        confidence: confidence level.

    Raises:
        BadInput: there are fewer than two values, which have no spread.
    """
    from scipy.special import stdtrit

    if len(values) < 2:
        raise BadInput(
            f"found {counted(len(values), 'seed')}; expected at least 2 for an interval over seeds: list more seeds."
        )
    mean, error = float(np.mean(values)), float(np.std(values, ddof=1)) / len(values) ** 0.5
    reach = float(stdtrit(len(values) - 1, (1 + confidence) / 2)) * error
    return _entry(mean, mean - reach, mean + reach)


def score(
    truth: Array,
    bootstrap: Bootstrap,
    *,
    pred: Array,
    ranking: Array | None = None,
    prob: Array | None = None,
) -> dict[str, Interval]:
    """Score a binary classifier: compute every metric that the given arrays allow, with intervals.

    Args:
        truth: (n,), 0 or 1.
        bootstrap: draws the items for the intervals.
        pred: (n,) or (S, n), decisions.
        ranking: (n,) or (S, n), higher = more like spam; None: no metrics of rankings.
        prob: (n,) or (S, n), probability of spam; None: no metrics of probabilities.

    Returns:
        {metric: {"mean", "low", "high"}}; "mean" is over the seeds.
    """
    table: dict[str, Interval] = {}
    for answers, metrics in ((pred, DECISION), (ranking, RANKING), (prob, PROBABILITY)):
        if answers is None:
            continue
        answers = np.atleast_2d(answers)
        assert answers.shape[1] == len(truth) > 0, (answers.shape, len(truth))
        resampled = bootstrap.resample(truth, answers, metrics)
        for name, value in _values(truth, answers, metrics).items():
            table[name] = _entry(value, *bootstrap.interval(resampled[name]))
    return table


def paired_difference(
    truth: Array, ours: Array, theirs: Array, bootstrap: Bootstrap
) -> dict[str, dict[str, Any]]:
    """Compute the paired difference of two classifiers in the decision metrics.

    Both are scored on the same resamples, so the difficulty of an item cancels out.

    Args:
        truth: (n,), 0 or 1.
        ours: (n,) or (S, n), decisions of the first classifier.
        theirs: (n,) or (S, n), decisions of the second one, whose metrics are subtracted. It may have another
            number of seeds.
        bootstrap: draws the items for the intervals.

    Returns:
        {metric: {"mean", "low", "high", "significant": whether the interval excludes 0}}.
    """
    ours, theirs = np.atleast_2d(ours), np.atleast_2d(theirs)
    values = [_values(truth, answers, DECISION) for answers in (ours, theirs)]
    resampled = [bootstrap.resample(truth, answers, DECISION) for answers in (ours, theirs)]
    table: dict[str, dict[str, Any]] = {}
    for name in DECISION:
        low, high = bootstrap.interval(resampled[0][name] - resampled[1][name])
        table[name] = _entry(values[0][name] - values[1][name], low, high)
        table[name]["significant"] = low > 0 or high < 0
    return table


def _values(truth: Array, answers: Array, metrics: dict[str, Metric]) -> dict[str, float]:
    once = np.ones((1, len(truth)))
    return {
        name: float(np.mean([metric(truth, row, once)[0] for row in answers]))
        for name, metric in metrics.items()
    }


def _entry(mean: float, low: float, high: float) -> dict[str, Any]:
    return {"mean": round(mean, 6), "low": round(low, 6), "high": round(high, 6)}
