"""Benchmarks of word vectors: human similarity scores and analogies, each with the share of items covered.

The metrics are rank correlation on WordSim-353 (Finkelstein et al. 2002; relatedness) and SimLex-999 (Hill et
al. 2015; similarity only), and accuracy on the Google analogies (Mikolov et al. 2013, arXiv:1301.3781). Items
with a word outside the vocabulary are left out and counted. Several sets of vectors are scored on the items
that are in all vocabularies, with the same resamples, so that their differences are paired.

Legend: n items in all vocabularies, R resamples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from groundup.embeddings.vectors import WordVectors
from groundup.errors import BadInput
from groundup.evaluation.metrics import Bootstrap

Array = npt.NDArray[Any]
Row = Mapping[str, Any]
ANALOGIES = "Google analogies"  # scored as a share; the other benchmarks are scored as correlations
BENCHMARKS = ("WordSim-353", "SimLex-999", ANALOGIES)
CHUNK = 1024  # questions answered at once


@dataclass(frozen=True)
class Scores:
    """The scores of several sets of word vectors on one benchmark.

    Attributes:
        figures: set -> score.
        resampled: set -> scores (R,) of the resamples.
        items: number of items scored.
        of: number of items in the benchmark.
    """

    figures: Mapping[str, float]
    resampled: Mapping[str, Array]
    items: int
    of: int

    def entry(self, name: str, bootstrap: Bootstrap) -> dict[str, Any]:
        """Return the score of one set of vectors with its interval: {"mean", "low", "high"}."""
        return _entry(self.figures[name], bootstrap.interval(self.resampled[name]))

    def difference(self, ours: str, theirs: str, bootstrap: Bootstrap) -> dict[str, Any]:
        """Return the score of the set `ours` minus that of the set `theirs`, with a paired interval.

        Returns:
            {"mean", "low", "high", "significant": whether the interval excludes 0}.
        """
        low, high = bootstrap.interval(self.resampled[ours] - self.resampled[theirs])
        entry = _entry(self.figures[ours] - self.figures[theirs], (low, high))
        return entry | {"significant": low > 0 or high < 0}


def word_pairs(sets: Mapping[str, WordVectors], rows: Sequence[Row], bootstrap: Bootstrap) -> Scores:
    """Score sets of word vectors by Spearman's rank correlation of the cosine with the human score.

    Args:
        sets: name -> vectors.
        rows: {"word1", "word2", "score"} of each pair.
        bootstrap: the resamples of the pairs.

    Raises:
        BadInput: fewer than three pairs are in all vocabularies.
    """
    known = _known(sets, rows, ("word1", "word2"), least=3)
    human = np.array([row["score"] for row in known], dtype=float)
    cosines = {}
    for name, vectors in sets.items():
        one, two = (
            vectors.unit[[vectors.ids[row[key].lower()] for row in known]] for key in ("word1", "word2")
        )
        cosines[name] = np.sum(one * two, axis=1)
    rng = np.random.default_rng(bootstrap.seed)
    draws = rng.integers(0, len(known), (bootstrap.samples, len(known)))
    figures = {name: float(spearman(values[None], human[None])[0]) for name, values in cosines.items()}
    resampled = {name: spearman(values[draws], human[draws]) for name, values in cosines.items()}
    return Scores(figures, resampled, len(known), len(rows))


def analogies(sets: Mapping[str, WordVectors], rows: Sequence[Row], bootstrap: Bootstrap) -> Scores:
    """Score sets of word vectors by the share of analogies "a is to b as c is to d" that 3CosAdd solves.

    The questions combine a few hundred pairs (a, b) with each other, so the bootstrap draws all questions
    with the same (a, b) together: drawing single questions would treat them as independent and make the
    intervals too narrow.

    Args:
        sets: name -> vectors.
        rows: {"a", "b", "c", "d"} of each question.
        bootstrap: the resamples of the pairs (a, b).

    Raises:
        BadInput: no question is in all vocabularies.
    """
    known = _known(sets, rows, ("a", "b", "c", "d"), least=1)
    right = {name: solved(vectors, known).astype(float) for name, vectors in sets.items()}
    rng = np.random.default_rng(bootstrap.seed)
    answers = np.stack(list(right.values()), axis=1)  # (n, sets)
    _, pair = np.unique([f"{row['a']} {row['b']}".lower() for row in known], return_inverse=True)
    size = np.bincount(pair)  # (pairs,): questions per pair
    solved_of = np.stack([np.bincount(pair, column) for column in answers.T], axis=1)  # (pairs, sets)
    # (R, pairs)
    drawn = rng.multinomial(len(size), np.full(len(size), 1 / len(size)), size=bootstrap.samples)
    resampled = dict(zip(right, (drawn @ solved_of / (drawn @ size)[:, None]).T, strict=True))
    figures = {name: float(values.mean()) for name, values in right.items()}
    return Scores(figures, resampled, len(known), len(rows))


def solved(vectors: WordVectors, rows: Sequence[Row]) -> npt.NDArray[np.bool_]:
    """Return, for each analogy, whether d is the nearest word to b - a + c, excluding a, b and c: (n,)."""
    a, b, c, d = np.array([[vectors.ids[row[key].lower()] for key in "abcd"] for row in rows]).T
    hits = []
    for start in range(0, len(rows), CHUNK):
        part = slice(start, start + CHUNK)
        target = vectors.unit[b[part]] - vectors.unit[a[part]] + vectors.unit[c[part]]
        cosines = target @ vectors.unit.T
        for given in (a, b, c):
            cosines[np.arange(len(cosines)), given[part]] = -np.inf
        hits.append(cosines.argmax(axis=1) == d[part])
    return np.concatenate(hits)


def spearman(left: Array, right: Array) -> Array:
    """Return Spearman's rank correlation of two (R, n) arrays, row by row: (R,).

    Ties get their mean rank; a constant row gives 0.
    """
    from scipy.stats import rankdata

    x, y = (rankdata(values, axis=1) for values in (left, right))
    x, y = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
    scale = np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
    correlation: Array = np.divide((x * y).sum(axis=1), scale, out=np.zeros(len(x)), where=scale > 0)
    return correlation


def _known(
    sets: Mapping[str, WordVectors], rows: Sequence[Row], keys: Sequence[str], least: int
) -> list[Row]:
    """Return the rows whose words, in lower case, are in all vocabularies."""
    shared = set.intersection(*(set(vectors.ids) for vectors in sets.values()))
    known = [row for row in rows if all(row[key].lower() in shared for key in keys)]
    if len(known) < least:
        raise BadInput(
            f"{len(known)} of the benchmark's {len(rows)} items have all their words in the vocabulary; expected at "
            f"least {least}: train on more text or lower min_count."
        )
    return known


def _entry(mean: float, interval: tuple[float, float]) -> dict[str, Any]:
    return {"mean": round(mean, 6), "low": round(interval[0], 6), "high": round(interval[1], 6)}
