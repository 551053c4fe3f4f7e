"""Word in context: does a word mean the same in two sentences? (Pilehvar and Camacho-Collados 2019.)

word_in_context.csv was written for this project. Each word has two senses and two sentences for each; its four pairs
go round them (first sense, first to second sense, second sense, second to first), so every sentence stands in one pair
of one sense and in one of two, once on either side: no single sentence tells the answer.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from groundup.embeddings.occurrences import Occurrence, occurrence_of, unit
from groundup.errors import BadInput
from groundup.evaluation.metrics import Bootstrap, Interval, accuracy, roc_auc

Array = npt.NDArray[Any]
COLUMNS = ["id", "word", "first", "second", "same", "sense1", "sense2"]
DIGITS = 6  # of a cosine: equal vectors must tie, whatever the last bit says


@dataclass(frozen=True)
class Pair:
    """Two sentences with `word`; `same`: it has the same sense. A sense is "part of speech: meaning"."""

    id: str
    word: str
    first: str
    second: str
    same: bool
    sense1: str
    sense2: str

    @property
    def places(self) -> tuple[Occurrence, Occurrence]:
        """Where the word stands in both sentences."""
        return occurrence_of(self.word, self.first), occurrence_of(self.word, self.second)


def read_pairs(path: Path) -> list[Pair]:
    """The pairs of a CSV file with the columns of `Pair`, `same` as 1 or 0.

    Raises:
        BadInput: the file is missing, a column or a value of `same` is another, or a word has pairs of one kind only.
    """
    try:
        with open(path, encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            if reader.fieldnames != COLUMNS:
                raise BadInput(f"{path} has the columns {reader.fieldnames}; expected {', '.join(COLUMNS)}.")
            rows = list(reader)
    except OSError as error:
        raise BadInput(
            f"{path} cannot be read ({error.strerror}); expected sentence pairs as CSV."
        ) from error
    pairs = []
    for number, row in enumerate(rows, start=2):
        if None in row or row["same"] not in ("0", "1") or not all(row.values()):
            raise BadInput(
                f"{path}, line {number}: found {row}; expected no empty and no further cell, and 1 or 0 as same."
            )
        pairs.append(Pair(**(row | {"same": row["same"] == "1"})))
    for word in dict.fromkeys(pair.word for pair in pairs):
        if len({pair.same for pair in pairs if pair.word == word}) < 2:
            raise BadInput(
                f"{path}: '{word}' needs a pair of the same sense and one of two; add what is missing."
            )
    return pairs


def one_part_of_speech(pairs: Sequence[Pair]) -> Array:
    """(n,) bool: both senses of the pair's word are of one part of speech, so that grammar alone does not tell them."""
    kinds: dict[str, set[str]] = {}
    for pair in pairs:
        kinds.setdefault(pair.word, set()).update(s.split(":")[0] for s in (pair.sense1, pair.sense2))
    return np.array([len(kinds[pair.word]) == 1 for pair in pairs])


@dataclass(frozen=True)
class Draws:
    """Words drawn with replacement: pairs of one word share sentences, so a word comes with all its pairs or not.

    weights (R, n): how often each of the n pairs counts in each resample; the same for every model.
    """

    bootstrap: Bootstrap
    weights: Array

    @staticmethod
    def of(pairs: Sequence[Pair], bootstrap: Bootstrap) -> "Draws":
        """The resamples of these pairs."""
        words, group = np.unique([pair.word for pair in pairs], return_inverse=True)
        rng = np.random.default_rng(bootstrap.seed)
        drawn = rng.multinomial(len(words), np.full(len(words), 1 / len(words)), size=bootstrap.samples)
        return Draws(bootstrap, drawn[:, group].astype(float))

    def interval(self, value: float, resampled: Array) -> Interval:
        """The figure with its percentile interval."""
        low, high = self.bootstrap.interval(resampled)
        return {"mean": round(value, 6), "low": round(low, 6), "high": round(high, 6)}


def similarity(first: Array, second: Array) -> Array:
    """Cosine of each row of (n, C) with the same row of the other."""
    cosines: Array = np.sum(unit(first) * unit(second), axis=1).round(DIGITS)
    return cosines


def folds_of(pairs: Sequence[Pair], folds: int) -> Array:
    """(n,) which fold each pair is tested in; pairs of one word share it."""
    _, group = np.unique([pair.word for pair in pairs], return_inverse=True)
    return group % folds


def decide(ranking: Array, truth: Array, fold: Array) -> Array:
    """(n,) 0 or 1: is the ranking at least the threshold that is most often right in the other folds?

    For a ranking that was not learned from the pairs; a learned one has seen some of them in every other fold.
    """
    decisions = np.empty(len(truth), dtype=int)
    for number in np.unique(fold):
        test = fold == number
        decisions[test] = ranking[test] >= best_threshold(ranking[~test], truth[~test])
    return decisions


def best_threshold(ranking: Array, truth: Array) -> float:
    """The threshold of the highest accuracy, halfway between two values; of several, the one in the middle."""
    values = np.unique(ranking)
    steps = np.concatenate(([-np.inf], (values[1:] + values[:-1]) / 2, [np.inf]))
    right = np.mean((ranking >= steps[:, None]) == (truth == 1), axis=1)
    best = np.flatnonzero(right == right.max())
    return float(steps[best[(len(best) - 1) // 2]])


def trained_ranking(first: Array, second: Array, truth: Array, fold: Array, strength: float) -> Array:
    """(n,) log odds of one sense by a logistic regression on |u - v| and u * v that never saw the pair's word.

    Its own threshold is 0, from its training folds like all else it knows: one chosen afterwards on the scores of
    other folds would be chosen on those of regressions that have learned from the tested fold.

    `strength` is the inverse of the L2 penalty: there are about as many features as pairs.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    u, v = unit(first), unit(second)
    features, ranking = np.concatenate((np.abs(u - v), u * v), axis=1), np.empty(len(truth))
    for number in np.unique(fold):
        test = fold == number
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=2000))
        ranking[test] = probe.fit(features[~test], truth[~test]).decision_function(features[test])
    return ranking


def score_ranking(
    pairs: Sequence[Pair], ranking: Array, decisions: Array, draws: Draws
) -> dict[str, Interval]:
    """AUC of the ranking and its likes, and accuracy of the decisions (n,), 1 for one sense.

    "auc" is over all pairs; two more over the words whose senses share a part of speech and those whose do not.
    "within_word": how often, of one word's pairs, one of the same sense ranks above one of different senses (a tie is
    half): unlike "auc" it forgives that some words are alike everywhere and others nowhere.
    """
    truth, single = np.array([int(pair.same) for pair in pairs]), one_part_of_speech(pairs)
    once = np.ones((1, len(truth)))
    table = {
        "accuracy": draws.interval(
            accuracy(truth, decisions, once)[0], accuracy(truth, decisions, draws.weights)
        )
    }
    groups = {"auc": single | ~single, "auc_one_part_of_speech": single, "auc_two_parts_of_speech": ~single}
    for name, part in groups.items():
        value, resampled = (
            roc_auc(truth[part], ranking[part], weights[:, part]) for weights in (once, draws.weights)
        )
        table[name] = draws.interval(value[0], resampled)
    within = within_word(pairs, ranking)
    table["within_word"] = draws.interval(within.mean(), draws.weights @ within / draws.weights.sum(axis=1))
    return table


def within_word(pairs: Sequence[Pair], ranking: Array) -> Array:
    """(n,) for each pair its word's share of comparisons, one pair of either kind, that come out right."""
    by_word: dict[str, tuple[list[float], list[float]]] = {}
    for pair, value in zip(pairs, ranking, strict=True):
        by_word.setdefault(pair.word, ([], []))[pair.same].append(float(value))
    share = {
        word: np.mean([(s > d) + 0.5 * (s == d) for s in same for d in different])
        for word, (different, same) in by_word.items()
    }
    return np.array([share[pair.word] for pair in pairs])


def auc_difference(pairs: Sequence[Pair], ours: Array, theirs: Array, draws: Draws) -> dict[str, Any]:
    """AUC of one ranking minus that of another, on the same resamples; "significant": the interval leaves out 0."""
    truth = np.array([int(pair.same) for pair in pairs])
    once = np.ones((1, len(truth)))
    value, resampled = (
        roc_auc(truth, ours, weights) - roc_auc(truth, theirs, weights) for weights in (once, draws.weights)
    )
    entry: dict[str, Any] = dict(draws.interval(value[0], resampled))
    return entry | {"significant": entry["low"] > 0 or entry["high"] < 0}
