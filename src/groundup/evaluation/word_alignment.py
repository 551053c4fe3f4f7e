"""IBM Model 1: which word of a sentence translates which, learned from pairs of sentences alone (Brown et al. 1993).

Every target word is written by one source word, or by none (NULL), each as likely before the words are known. EM turns
this into a table t(target word | source word): the expectation shares every target word among the source words of its
sentence in proportion to t, the maximisation makes t of the shares. Every step raises the likelihood, which has a
single maximum (for almost all corpora), so the start does not matter and is uniform.

Legend: F source words, E target words of the vocabularies; P pairs of them that occur in one sentence; L links: all
combinations of a source and a target word in a sentence, over all sentences.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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

    def row(self, word: str) -> dict[str, float]:
        """Every target word with its probability, the likeliest first; empty for a word never seen."""
        number = self.source_words.get(word)
        if number is None:
            return {}
        part = slice(self.starts[number], self.starts[number + 1])
        order = np.argsort(-self.probabilities[part], kind="stable")
        names = list(self.target_words)
        return {names[self.columns[part][i]]: float(self.probabilities[part][i]) for i in order}

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
        names, best = list(table.target_words), {}
        for word, number in table.source_words.items():
            part = slice(table.starts[number], table.starts[number + 1])
            likeliest = int(np.argmax(table.probabilities[part]))
            best[word] = "" if table.fertility[number] < 0.5 else names[table.columns[part][likeliest]]
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
    links, widths, occurrences = [], [], []
    for source, target in pairs:
        f = np.array(
            [source_words.setdefault(word, len(source_words)) for word in ([NULL] * null + [*source])]
        )
        e = np.array([target_words.setdefault(word, len(target_words)) for word in target])
        links.append((f[None, :] << 32 | e[:, None]).ravel())  # the links of a target word lie side by side
        widths.append(np.full(len(e), len(f)))
        occurrences.append(f)
    keys, pair_of_link = np.unique(np.concatenate(links), return_inverse=True)  # (P,), (L,)
    width = np.concatenate(widths)  # links of each target word
    first = np.cumsum(width) - width  # where they begin
    rows, columns = keys >> 32, keys & 0xFFFFFFFF
    t: Array = np.ones(len(keys))  # (P,)
    counts: npt.NDArray[Any] = t
    for _ in range(iterations):
        share = t[pair_of_link]
        share /= np.repeat(np.add.reduceat(share, first) + _TINY, width)
        counts = np.bincount(pair_of_link, share, minlength=len(keys))
        t = counts / np.bincount(rows, counts)[rows]
    return TranslationTable(
        source_words,
        target_words,
        starts=np.searchsorted(rows, np.arange(len(source_words) + 1)),
        columns=columns,
        probabilities=t,
        fertility=np.bincount(rows, counts) / np.bincount(np.concatenate(occurrences)),
    )
