"""The geometry of contextual word vectors (Ethayarajh 2019), and the neighbours of a word's occurrences.

Shapes: N occurrences, L layers, C channels. Every mean of cosines is exact: it covers all pairs, and is
computed from sums of unit vectors.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from groundup.embeddings.occurrences import Array, Occurrence, occurrences, unit
from groundup.errors import BadInput


@dataclass(frozen=True)
class Geometry:
    """Mean cosines between contextual word vectors.

    If all vectors point in similar directions, only the difference of a value from `anisotropy` is
    meaningful.

    Attributes:
        anisotropy: between occurrences of two different words, with equal weight per word.
        self_similarity: between two occurrences of one word in different texts; 1 for static vectors.
        intra_sentence: between a word and the mean of its text.
    """

    anisotropy: float
    self_similarity: float
    intra_sentence: float


def first_occurrences(texts: Iterable[str]) -> list[Occurrence]:
    """Return the first occurrence of each word in each text.

    Two occurrences of a word are therefore from different texts.
    """
    found: list[Occurrence] = []
    for text in texts:
        found += {place.word: place for place in reversed(occurrences(text))}.values()
    return found


def recurring(places: Sequence[Occurrence], min_contexts: int) -> set[str]:
    """Return the words that have at least `min_contexts` of these occurrences.

    Raises:
        BadInput: there are fewer than two such words.
    """
    words = {word for word, n in Counter(p.word for p in places).items() if n >= min_contexts}
    if len(words) < 2:
        raise BadInput(
            f"too few words ({len(words)}) occur in at least {min_contexts} messages; the geometry of vectors needs "
            f"two or more: add messages or lower min_contexts."
        )
    return words


def geometry(places: Sequence[Occurrence], vectors: Array, min_contexts: int) -> Geometry:
    """Measure the geometry of the vectors (N, C) of word occurrences; no word may occur twice in a text.

    Let m_w be the mean unit vector of the n occurrences of word w. The mean cosine of two words w and v is
    m_w · m_v, and the mean cosine of two occurrences of w is (n² |m_w|² - n) / (n² - n).

    Raises:
        BadInput: no text has two words; see also `recurring`.
    """
    kept = recurring(places, min_contexts)
    directions = unit(vectors.astype(np.float64))
    by_word, by_text = defaultdict(list), defaultdict(list)
    for n, place in enumerate(places):
        by_text[place.text].append(n)
        if place.word in kept:
            by_word[place.word].append(n)
    if max(map(len, by_text.values())) < 2:
        raise BadInput(
            "no message has two different words; intra-sentence similarity needs at least one: use other texts."
        )
    means = np.array([directions[rows].mean(axis=0) for rows in by_word.values()])
    counts = np.array([len(rows) for rows in by_word.values()])
    squares = np.sum(means**2, axis=1)
    words = len(means)
    inside = []
    for rows in by_text.values():
        if len(rows) > 1:
            middle = unit(vectors[rows].astype(np.float64).mean(axis=0))
            inside.append(float((directions[rows] @ middle).mean()))
    return Geometry(
        anisotropy=float((np.sum(means.sum(axis=0) ** 2) - squares.sum()) / (words * (words - 1))),
        self_similarity=float(np.mean((counts**2 * squares - counts) / (counts**2 - counts))),
        intra_sentence=float(np.mean(inside)),
    )


def nearest(query: Array, vectors: Array, count: int) -> list[tuple[int, float]]:
    """Return the `count` rows of `vectors` (N, C) with the largest cosine with `query` (C,).

    Returns:
        (row, cosine) of each, best first.
    """
    cosines = unit(vectors) @ unit(query)
    best = np.argsort(-cosines, kind="stable")[:count]
    return [(int(row), float(cosines[row])) for row in best]


def find_word(word: str, texts: Iterable[str]) -> list[Occurrence]:
    """Return the first occurrence of `word` in each text that contains it.

    Raises:
        BadInput: no text contains it.
    """
    found = [
        place for place in first_occurrences(t for t in texts if word in t.lower()) if place.word == word
    ]
    if not found:
        raise BadInput(
            f"'{word}' does not occur in any of the conversations; expected a word that does: choose another."
        )
    return found


def snippet(place: Occurrence, reach: int = 48) -> str:
    """Return the text around a word occurrence on one line, for display.

    The word is in [brackets], with at most `reach` characters on each side.
    """
    left, right = (re.sub(r"\s+", " ", part) for part in (place.text[: place.start], place.text[place.end :]))
    if len(left) > reach:
        left = "…" + left[-reach:].partition(" ")[2]
    if len(right) > reach:
        right = right[:reach].rpartition(" ")[0] + "…"
    return f"{left}[{place.text[place.start : place.end]}]{right}".strip()
