"""Word in context: does a word have the same sense in two sentences? (Pilehvar and Camacho-Collados 2019.)

word_in_context.csv was written for this project. Each word has two senses, and two sentences for each sense.
The word's four pairs form a cycle over its sentences: within the first sense, from the first to the second
sense, within the second sense, from the second to the first. Every sentence is therefore in one pair with the
same sense and in one with different senses, once on each side, and a single sentence does not reveal the
answer.
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
DIGITS = 6  # of a cosine: equal vectors must tie in spite of rounding errors


@dataclass(frozen=True)
class Pair:
    """A word-in-context pair: two sentences with `word`, and whether it has the same sense in both.

    A sense is written as "part of speech: meaning".
    """

    id: str
    word: str
    first: str
    second: str
    same: bool
    sense1: str
    sense2: str

    @property
    def places(self) -> tuple[Occurrence, Occurrence]:
        """The occurrences of the word in the first and in the second sentence.

        Raises:
            BadInput: the word does not occur exactly once in a sentence.
        """
        return occurrence_of(self.word, self.first), occurrence_of(self.word, self.second)


def read_pairs(path: Path) -> list[Pair]:
    """Read word-in-context pairs from a CSV file with the columns of `Pair`, and `same` as 1 or 0.

    Raises:
        BadInput: the file is missing, has other columns, or has another value of `same`; or a word lacks
            pairs of the same sense or of different senses.
    """
    try:
        with open(path, encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            if reader.fieldnames != COLUMNS:
                raise BadInput(
                    f"{path} has the columns {reader.fieldnames}; expected {', '.join(COLUMNS)}: correct its first "
                    f"line."
                )
            rows = list(reader)
    except OSError as error:
        raise BadInput(
            f"{path} cannot be read ({error.strerror}); expected sentence pairs as CSV: restore the file."
        ) from error
    pairs = []
    for number, row in enumerate(rows, start=2):
        if None in row or row["same"] not in ("0", "1") or not all(row.values()):
            raise BadInput(
                f"{path}, line {number}: found {row}; expected {len(COLUMNS)} cells, none of them empty, with 1 or 0 "
                f"as same: correct the line."
            )
        pairs.append(Pair(**(row | {"same": row["same"] == "1"})))
    for word in dict.fromkeys(pair.word for pair in pairs):
        if len({pair.same for pair in pairs if pair.word == word}) < 2:
            raise BadInput(
                f"{path}: '{word}' has pairs of one kind only; expected pairs of the same sense and of different "
                f"senses: add the missing ones."
            )
    return pairs


def one_part_of_speech(pairs: Sequence[Pair]) -> Array:
    """Return, for each word-in-context pair, whether both senses are one part of speech: (n,) bool.

    In these pairs, grammar alone does not distinguish the senses.
    """
    kinds: dict[str, set[str]] = {}
    for pair in pairs:
        kinds.setdefault(pair.word, set()).update(s.split(":")[0] for s in (pair.sense1, pair.sense2))
    return np.array([len(kinds[pair.word]) == 1 for pair in pairs])


@dataclass(frozen=True)
class Draws:
    """A bootstrap over the words of word-in-context pairs.

    Pairs of one word share sentences, so a resample has all pairs of a word or none.

    Attributes:
        bootstrap: the number of resamples R, the confidence level and the seed.
        weights: (R, n), how often each of the n pairs counts in each resample; the same for every model.
    """

    bootstrap: Bootstrap
    weights: Array

    @staticmethod
    def of(pairs: Sequence[Pair], bootstrap: Bootstrap) -> "Draws":
        """Draw the resamples of these pairs."""
        words, group = np.unique([pair.word for pair in pairs], return_inverse=True)
        rng = np.random.default_rng(bootstrap.seed)
        drawn = rng.multinomial(len(words), np.full(len(words), 1 / len(words)), size=bootstrap.samples)
        return Draws(bootstrap, drawn[:, group].astype(float))

    def interval(self, value: float, resampled: Array) -> Interval:
        """Return the value with the percentile interval of its resampled values (R,)."""
        low, high = self.bootstrap.interval(resampled)
        return {"mean": round(value, 6), "low": round(low, 6), "high": round(high, 6)}


def similarity(first: Array, second: Array) -> Array:
    """Return the cosine of each row of `first` (n, C) with the same row of `second` (n, C): (n,)."""
    cosines: Array = np.sum(unit(first) * unit(second), axis=1).round(DIGITS)
    return cosines


def folds_of(pairs: Sequence[Pair], folds: int) -> Array:
    """Return the fold in which each word-in-context pair is tested: (n,), from 0 to `folds` - 1.

    All pairs of one word are in the same fold.
    """
    _, group = np.unique([pair.word for pair in pairs], return_inverse=True)
    return group % folds


def decide(ranking: Array, truth: Array, fold: Array) -> Array:
    """Decide which word-in-context pairs have the same sense, with a threshold per fold.

    A fold's threshold has the highest accuracy in the other folds. Use it only for a ranking that was not
    trained on the pairs: a trained one has seen the tested fold in the others.

    Args:
        ranking: (n,), higher = more likely the same sense.
        truth: (n,), 1 for the same sense, else 0.
        fold: (n,), the fold of each pair.

    Returns:
        (n,), 1 where the ranking is at least the threshold, else 0.
    """
    decisions = np.empty(len(truth), dtype=int)
    for number in np.unique(fold):
        test = fold == number
        decisions[test] = ranking[test] >= best_threshold(ranking[~test], truth[~test])
    return decisions


def best_threshold(ranking: Array, truth: Array) -> float:
    """Return the threshold of a ranking (n,) with the highest accuracy; if several tie, the middle one.

    It is halfway between two values of the ranking, or infinite.
    """
    values = np.unique(ranking)
    steps = np.concatenate(([-np.inf], (values[1:] + values[:-1]) / 2, [np.inf]))
    right = np.mean((ranking >= steps[:, None]) == (truth == 1), axis=1)
    best = np.flatnonzero(right == right.max())
    return float(steps[best[(len(best) - 1) // 2]])


def trained_ranking(first: Array, second: Array, truth: Array, fold: Array, strength: float) -> Array:
    """Return the log odds of the same sense for each word-in-context pair, by logistic regression: (n,).

    The features of the vectors u and v of a pair are |u - v| and u * v. The regression that ranks a pair has
    not seen its word. Its threshold is 0: one chosen on the scores of the other folds would depend on
    regressions that were trained on the tested fold.

    Args:
        first: (n, C), the vector of the word in each pair's first sentence.
        second: (n, C), the same in the second sentence.
        truth: (n,), 1 for the same sense, else 0.
        fold: (n,), the fold of each pair.
        strength: inverse of the L2 penalty, which matters because there are about as many features as pairs.
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
    """Score a ranking of word-in-context pairs by AUC, and decisions about them by accuracy.

    Args:
        pairs: the n pairs.
        ranking: (n,), higher = more likely the same sense.
        decisions: (n,), 1 for the same sense, else 0.
        draws: the resamples for the intervals.

    Returns:
        {"accuracy", "auc", "auc_one_part_of_speech", "auc_two_parts_of_speech", "within_word"}, each with its
        interval. "auc" is over all pairs; the next two are over the words whose senses are one part of
        speech, and over the others. "within_word" is the share of comparisons between two pairs of one word
        in which the pair of the same sense ranks higher (a tie counts half). Unlike "auc", it does not depend
        on whether the ranking is generally higher for some words than for others.
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
    """Return, for each word-in-context pair, how well the ranking separates the pairs of its word: (n,).

    The value is the share of comparisons of a pair of the same sense with one of different senses in which
    the former ranks higher; a tie counts half.
    """
    by_word: dict[str, tuple[list[float], list[float]]] = {}
    for pair, value in zip(pairs, ranking, strict=True):
        by_word.setdefault(pair.word, ([], []))[pair.same].append(float(value))
    share = {
        word: np.mean([(s > d) + 0.5 * (s == d) for s in same for d in different])
        for word, (different, same) in by_word.items()
    }
    return np.array([share[pair.word] for pair in pairs])


def auc_difference(pairs: Sequence[Pair], ours: Array, theirs: Array, draws: Draws) -> dict[str, Any]:
    """Return the AUC of one ranking of word-in-context pairs minus that of another, with a paired interval.

    Args:
        pairs: the n pairs.
        ours: (n,), the first ranking.
        theirs: (n,), the ranking whose AUC is subtracted.
        draws: the resamples, the same for both rankings.

    Returns:
        {"mean", "low", "high", "significant": whether the interval excludes 0}.
    """
    truth = np.array([int(pair.same) for pair in pairs])
    once = np.ones((1, len(truth)))
    value, resampled = (
        roc_auc(truth, ours, weights) - roc_auc(truth, theirs, weights) for weights in (once, draws.weights)
    )
    entry: dict[str, Any] = dict(draws.interval(value[0], resampled))
    return entry | {"significant": entry["low"] > 0 or entry["high"] < 0}
