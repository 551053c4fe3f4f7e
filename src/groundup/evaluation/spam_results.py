"""The spam table: scores of the finetuned classifiers and the baselines on the test messages.

Legend: S seeds, n test messages; truth (n,), 1 = spam.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from groundup.evaluation import baselines
from groundup.evaluation.baselines import Predictions
from groundup.evaluation.config import EvaluateConfig
from groundup.evaluation.metrics import DECISION, Bootstrap, paired_difference, score
from groundup.evaluation.predictions import read_baselines, read_predictions
from groundup.text.labels import LABELS, SPAM, THRESHOLD

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Answers:
    """All predictions of spam on one test set.

    Attributes:
        truth: (n,), 1 = spam.
        seeds: (S,), one per finetuned classifier.
        prob: (S, n), the classifiers' probabilities of spam.
        baselines: name -> its predictions.
    """

    truth: npt.NDArray[np.int64]
    seeds: tuple[int, ...]
    prob: npt.NDArray[np.float64]
    baselines: dict[str, Predictions]

    @property
    def pred(self) -> npt.NDArray[np.int64]:
        """The decisions of the finetuned classifiers: (S, n), 1 = spam."""
        return (self.prob >= THRESHOLD).astype(np.int64)


def collect(train: Sequence[Row], test: Sequence[Row], predictions: Path) -> Answers:
    """Read the predictions of the finetuned classifiers, and fit every baseline on the training split only.

    Args:
        train: rows with text and label.
        test: rows with id, text and label.
        predictions: CSV file of the classifiers' predictions.

    Raises:
        BadInput: as `read_predictions` does.
    """
    seeds, prob = read_predictions(predictions, test)
    texts, labels = [row["text"] for row in train], [_positive(row) for row in train]
    asked = [row["text"] for row in test]
    others = {name: baselines.fit_predict(name, texts, labels, asked) for name in baselines.NAMES}
    return Answers(np.array([_positive(row) for row in test]), seeds, prob, others)


def read_answers(test: Sequence[Row], predictions: Path, of_baselines: Path) -> Answers:
    """Read the stored predictions of the finetuned classifiers and of the baselines.

    Raises:
        BadInput: as `read_predictions` and `read_baselines` do.
    """
    seeds, prob = read_predictions(predictions, test)
    truth = np.array([_positive(row) for row in test])
    return Answers(truth, seeds, prob, read_baselines(of_baselines, test))


def table(answers: Answers, config: EvaluateConfig) -> dict[str, Any]:
    """Make the spam table: score the finetuned classifiers and the baselines.

    Returns:
        "test": {metric: {"mean", "low", "high"}} of the classifiers. "per_seed": {seed: {metric: value}}.
        "baselines": {name: {metric: {"mean", "low", "high"}}}. "difference": {baseline: {metric: {"mean",
        "low", "high", "significant"}}}, the classifiers minus the baseline, paired. "items": {"ham": number
        of test messages, "spam": number}.
    """
    truth, bootstrap = answers.truth, Bootstrap(config.bootstrap_samples, config.confidence, config.seed)
    once = np.ones((1, len(truth)))
    return {
        "test": score(truth, bootstrap, pred=answers.pred, ranking=answers.prob, prob=answers.prob),
        "per_seed": {
            str(seed): {
                name: round(float(metric(truth, row, once)[0]), 6) for name, metric in DECISION.items()
            }
            for seed, row in zip(answers.seeds, answers.pred, strict=True)
        },
        "baselines": {
            name: score(truth, bootstrap, pred=p.pred, ranking=p.ranking, prob=p.prob)
            for name, p in answers.baselines.items()
        },
        "difference": {
            name: paired_difference(truth, answers.pred, p.pred, bootstrap)
            for name, p in answers.baselines.items()
        },
        "items": {label: int(np.sum(truth == cls)) for cls, label in enumerate(LABELS)},
    }


def _positive(row: Row) -> int:
    return int(row["label"] == SPAM)
