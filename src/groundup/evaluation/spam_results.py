"""The spam table: what the finetuned classifiers and the baselines answered on the test messages, scored.

Legend: S seeds, n test messages; truth (n,) 1 = spam.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from groundup.errors import BadInput
from groundup.evaluation import baselines
from groundup.evaluation.baselines import Predictions
from groundup.evaluation.config import EvaluateConfig
from groundup.evaluation.metrics import DECISION, Bootstrap, paired_difference, score

Row = Mapping[str, Any]
COLUMNS = ("seed", "split", "id", "label", "spam_probability")
THRESHOLD = 0.5


@dataclass(frozen=True)
class Answers:
    """All answers on one test set: truth (n,), seeds (S,), prob (S, n) of our classifiers, and the baselines'."""

    truth: npt.NDArray[np.int64]
    seeds: tuple[int, ...]
    prob: npt.NDArray[np.float64]
    baselines: dict[str, Predictions]

    @property
    def pred(self) -> npt.NDArray[np.int64]:
        """Our decisions (S, n)."""
        return (self.prob >= THRESHOLD).astype(np.int64)


def read_predictions(path: Path, test: Sequence[Row]) -> tuple[tuple[int, ...], npt.NDArray[np.float64]]:
    """Read finetune_spam's CSV: (seeds in order (S,), probability of spam of each test row (S, n)).

    Raises:
        BadInput: a column is missing, or a seed has not exactly the test rows: the file is of another split.
    """
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        missing = set(COLUMNS) - set(reader.fieldnames or ())
        if missing:
            raise BadInput(
                f"{path} lacks the columns {sorted(missing)}; expected {', '.join(COLUMNS)}; finetune again."
            )
        found: dict[int, dict[str, float]] = {}
        for row in reader:
            if row["split"] == "test":
                found.setdefault(int(row["seed"]), {})[row["id"]] = float(row["spam_probability"])
    ids = [row["id"] for row in test]
    for seed, answers in found.items():
        if set(answers) != set(ids):
            raise BadInput(
                f"{path}: seed {seed} has answers to {len(answers)} test messages, "
                f"{len(set(answers) & set(ids))} of them among the {len(ids)} of the split; "
                f"expected exactly these; run `dvc repro finetune_spam`."
            )
    if not found:
        raise BadInput(
            f"{path} has no row of the test split; expected one a seed and message; finetune again."
        )
    seeds = tuple(sorted(found))
    return seeds, np.array([[found[seed][id_] for id_ in ids] for seed in seeds])


def collect(train: Sequence[Row], test: Sequence[Row], predictions: Path) -> Answers:
    """Read our answers, and fit every baseline on train (and nothing else)."""
    seeds, prob = read_predictions(predictions, test)
    texts, labels = [row["text"] for row in train], [_positive(row) for row in train]
    asked = [row["text"] for row in test]
    others = {name: baselines.fit_predict(name, texts, labels, asked) for name in baselines.NAMES}
    return Answers(np.array([_positive(row) for row in test]), seeds, prob, others)


def table(answers: Answers, config: EvaluateConfig) -> dict[str, Any]:
    """Score everything.

    Returns:
        {"test": {metric: {"mean", "low", "high"}}, "per_seed": {seed: {metric: value}}, "baselines": {name: {metric:
        {...}}}, "difference": {baseline: {metric: {"mean", "low", "high", "significant"}}} (ours minus theirs,
        paired), "items": {"ham": int, "spam": int}}.
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
        "items": {"ham": int(np.sum(truth == 0)), "spam": int(np.sum(truth == 1))},
    }


def _positive(row: Row) -> int:
    return int(row["label"] == "spam")
