"""Words for static embeddings: how a text is split, the vocabulary, and a corpus as arrays of ids.

A word is a run of letters and digits in lower case, with apostrophes inside it: "Don't, 2 DON’T!" is don't, 2, don't.
Training, benchmarks and features use the same rule. A word with fewer than `min_count` occurrences is removed from the
text before the windows are formed, as in word2vec and gensim.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from groundup.errors import BadInput
from groundup.text.counts import counted

WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")


def split_words(text: str) -> list[str]:
    """Split a text into words for word vectors: in order, in lower case."""
    return WORD.findall(text.lower().replace("’", "'"))


@dataclass(frozen=True)
class Corpus:
    """The text of a corpus as word ids, with its documents concatenated.

    Attributes:
        ids: (N,) int64, the words; those outside the vocabulary are left out.
        documents: (N,) int64, the number of each word's document, ascending.
        raw_words: number of words in the text, including those outside the vocabulary, to measure speed.
    """

    ids: npt.NDArray[np.int64]
    documents: npt.NDArray[np.int64]
    raw_words: int


@dataclass(frozen=True)
class Vocabulary:
    """The vocabulary of static word vectors: words by descending count, then alphabetically.

    A word's id is its index. `counts` (V,) int64 are the occurrences of each word.
    """

    words: tuple[str, ...]
    counts: npt.NDArray[np.int64]

    @cached_property
    def ids(self) -> dict[str, int]:
        """Word -> id."""
        return {word: place for place, word in enumerate(self.words)}

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, documents: Iterable[Sequence[str]]) -> Corpus:
        """Encode documents of words as one array of ids.

        Words outside the vocabulary are removed, so their neighbours become adjacent.
        """
        ids: list[int] = []
        lengths: list[int] = []
        raw_words = 0
        for words in documents:
            known = [self.ids[word] for word in words if word in self.ids]
            ids += known
            lengths.append(len(known))
            raw_words += len(words)
        numbers = np.repeat(np.arange(len(lengths)), lengths)
        return Corpus(np.array(ids, dtype=np.int64), numbers.astype(np.int64), raw_words)


def build_vocabulary(documents: Iterable[Sequence[str]], min_count: int) -> Vocabulary:
    """Build the vocabulary of word vectors: all words with at least `min_count` occurrences.

    Raises:
        BadInput: fewer than two words remain, so no word has a context to learn from.
    """
    counts = Counter(word for words in documents for word in words)
    kept = sorted((-count, word) for word, count in counts.items() if count >= min_count)
    if len(kept) < 2:
        raise BadInput(
            f"the corpus has {counted(len(counts), 'different word')}, of which {len(kept)} "
            f"{'occurs' if len(kept) == 1 else 'occur'} at least {min_count} times; expected two or more such words: "
            f"add text or lower min_count."
        )
    return Vocabulary(
        tuple(word for _, word in kept), np.array([-count for count, _ in kept], dtype=np.int64)
    )
