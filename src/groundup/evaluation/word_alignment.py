"""IBM Model 1: which word of a sentence translates which, learned from pairs of sentences alone (Brown et al. 1993).

Every target word is written by one source word, or by none (NULL), each as likely before the words are known. EM turns
this into a table t(target word | source word): the expectation shares every target word among the source words of its
sentence in proportion to t, the maximisation makes t of the shares. Every step raises the likelihood, which has a
single maximum (for almost all corpora), so the start does not matter and is uniform.

Legend: F source words, E target words of the vocabularies; P pairs of them that occur in one sentence; f, e different
words of one sentence, each with the number of its occurrences there.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from groundup.errors import BadInput

Array = npt.NDArray[np.float64]
NULL = ""  # the source word of target words that translate none
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*|[^\w\s]")
_TINY = 1e-300  # keeps a word whose t has vanished from dividing by 0


def words_of(text: str) -> list[str]:
    """Words and punctuation: "Adam's son, he" -> ["Adam's", "son", ",", "he"]."""
    return _WORD.findall(text)


@dataclass(frozen=True)
class TranslationTable:
    """t(target word | source word), sparse, and how many target words a source word writes.

    Row f of the table is `columns[starts[f] : starts[f + 1]]` (numbers of target words) with the `probabilities`
    beside them, which sum to 1. `fertility` (F,): target words that an occurrence of the word writes, on average.
    """

    source_words: dict[str, int]
    target_words: dict[str, int]
    starts: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int64]
    probabilities: Array
    fertility: Array

    @cached_property
    def target_names(self) -> list[str]:
        """(E,) the target words by number."""
        return list(self.target_words)

    def row(self, word: str) -> dict[str, float]:
        """Every target word with its probability, the likeliest first; empty for a word never seen."""
        number = self.source_words.get(word)
        if number is None:
            return {}
        part = slice(self.starts[number], self.starts[number + 1])
        order = np.argsort(-self.probabilities[part], kind="stable")
        columns, probabilities = self.columns[part], self.probabilities[part]
        return {self.target_names[columns[i]]: float(probabilities[i]) for i in order}

    def posterior(self, source: Sequence[str], target: Sequence[str]) -> Array:
        """p(target word i is written by source word j) -> (target, source + 1), NULL last; each row sums to 1.

        A target word that none of them can write is shared evenly.
        """
        rows = [self.row(word) for word in [*source, NULL]]
        weights = np.array([[row.get(word, 0.0) for row in rows] for word in target])
        total = weights.sum(axis=1, keepdims=True)
        return np.where(total > 0, weights / np.where(total > 0, total, 1.0), 1 / len(rows))


class WordSubstitution:
    """Translates word by word: each by its likeliest translation, in the order of the source.

    A word that writes under half a word on average is left out; one never seen stays as it is. (Keeping a word whose
    translations are all unlikely made it worse on val, at every threshold tried.)
    """

    def __init__(self, table: TranslationTable) -> None:
        best = {}
        for word, number in table.source_words.items():
            part = slice(table.starts[number], table.starts[number + 1])
            likeliest = int(np.argmax(table.probabilities[part]))
            translation = table.target_names[table.columns[part][likeliest]]
            best[word] = "" if table.fertility[number] < 0.5 else translation
        self._best = best

    def __call__(self, text: str) -> str:
        """The text with its words replaced; spaces stay where they were."""
        return " ".join(_WORD.sub(lambda found: self._best.get(found[0], found[0]), text).split())


def learn(
    pairs: Sequence[tuple[Sequence[str], Sequence[str]]], iterations: int, *, null: bool = True
) -> TranslationTable:
    """EM over all pairs of (source words, target words).

    Args:
        null: whether a target word may be written by no source word.

    Raises:
        BadInput: there is no pair, or a side of one has no words.
    """
    if not pairs or not all(source and target for source, target in pairs):
        raise BadInput(
            "word alignment needs pairs of sentences with words on both sides; found none, or an empty side: drop it."
        )
    source_words: dict[str, int] = {NULL: 0} if null else {}
    target_words: dict[str, int] = {}
    sources = [_counted([NULL] * null + [*source], source_words) for source, _ in pairs]
    targets = [_counted(target, target_words) for _, target in pairs]
    # a pair of words is the one number f * E + e; ascending f and e make those of a sentence ascend too
    width = len(target_words)
    kind = np.min_scalar_type(len(source_words) * width)
    links = [(f[:, None] * width + e).astype(kind) for (f, _), (e, _) in zip(sources, targets, strict=True)]
    keys = np.unique(np.concatenate([link.ravel() for link in links]))  # (P,)
    for i, link in enumerate(links):
        links[i] = np.searchsorted(keys, link).astype(np.int32)  # (f, e): where each pair stands in the table
    rows, columns = (half.astype(np.int64) for half in np.divmod(keys, kind.type(width)))
    t: Array = np.ones(len(keys))  # (P,)
    counts = t
    for _ in range(iterations):
        counts = np.zeros(len(keys))
        for link, (_, read), (_, written) in zip(links, sources, targets, strict=True):
            share = t[link] * read[:, None]
            share *= written / (share.sum(axis=0) + _TINY)
            counts[link] += share  # no pair stands twice in a sentence
        t = counts / np.bincount(rows, counts)[rows]
    numbers, occurrences = (np.concatenate(halves) for halves in zip(*sources, strict=True))
    return TranslationTable(
        source_words,
        target_words,
        starts=np.searchsorted(rows, np.arange(len(source_words) + 1)),
        columns=columns,
        probabilities=t,
        fertility=np.bincount(rows, counts) / np.bincount(numbers, occurrences),
    )


def learn_from(verses: Sequence[Mapping[str, str]], iterations: int) -> TranslationTable:
    """The table of pairs of texts, each with "source" and "target"; errors as for `learn`."""
    return learn([(words_of(verse["source"]), words_of(verse["target"])) for verse in verses], iterations)


def _counted(
    words: Sequence[str], numbers: dict[str, int]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Numbers of the different words, ascending, and how often each occurs; new words get the next `numbers`."""
    return np.unique([numbers.setdefault(word, len(numbers)) for word in words], return_counts=True)
