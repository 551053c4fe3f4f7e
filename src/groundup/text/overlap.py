"""Search for evaluation items in training texts.

There are three kinds of occurrence, from strict to loose:

- exact: the item equals a whole training text (a message, a document, a prompt, a prompt with its response);
- normalised: the two are equal after `normalise`, which ignores case, digits, punctuation and spaces;
- 13-gram: the two share 13 consecutive normalised words (the rule of GPT-3, Brown et al. 2020, appendix C).
  Items of fewer than 13 words can only be found by the first two.

Shapes: W is the number of words of all training texts, G the number of windows of `n` words within a text.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain

import numpy as np
import numpy.typing as npt

Text = str | Sequence[str]

KINDS = ("exact", "normalised", "13-gram")
N = 13

_ASCII_DIGITS = str.maketrans({chr(i): " " for i in range(128) if not chr(i).isalnum()})
_ZEROS = str.maketrans("123456789", "000000000")
_ASCII = _ASCII_DIGITS | _ZEROS
_DIGIT = re.compile(r"\d")
_WORD = re.compile(r"[^\W_]+")
_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd, so that multiplication mod 2**64 loses nothing


def normalise(text: str, *, keep_digits: bool = False) -> str:
    """Return the words of `text`, case-folded, separated by one space, with every digit replaced by "0".

    "WIN £1,000 now!!" -> "win 0 000 now". A text without words (":-)") keeps its signs; otherwise all such texts
    would be equal. `keep_digits` leaves digits unchanged, for texts that differ only in digits (sums).
    """
    text = unicodedata.normalize("NFKC", text).casefold()
    if text.isascii():  # the same result, many times faster
        words = text.translate(_ASCII_DIGITS if keep_digits else _ASCII).split()
    else:
        words = _WORD.findall(text if keep_digits else _DIGIT.sub("0", text))
    return " ".join(words) if words else "".join(text.split())


def without_digits(key: str) -> str:
    """Return what `normalise` gives, from what it gives with `keep_digits`."""
    return key.translate(_ZEROS) if key.isascii() else _DIGIT.sub("0", key)


def joined(parts: Sequence[str]) -> str:
    """Return the normalised text of some lines from the normalised lines."""
    return " ".join(part for part in parts if part[:1].isalnum()) or "".join(parts)


def ngrams(text: str, n: int = N, *, keep_digits: bool = False) -> set[str]:
    """Return all runs of `n` words of the normalised text; empty if it has fewer than `n` words."""
    words = normalise(text, keep_digits=keep_digits).split()
    return {" ".join(words[i : i + n]) for i in range(len(words) - n + 1)}


@dataclass(frozen=True)
class Hit:
    """One occurrence of an evaluation item: its kind, and the training text in which the item was found."""

    kind: str
    training: str


class TextIndex:
    """An index of training texts, for many searches. Indexing 12.5 MB of text takes a few seconds.

    A text is a string or a list of messages. For a list, each message and the whole conversation are indexed.
    """

    def __init__(self, texts: Iterable[Text], *, n: int = N, keep_digits: bool = False) -> None:
        self.n, self.keep_digits = n, keep_digits
        self.texts: list[str] = []
        self._exact: dict[str, int] = {}
        self._normalised: dict[str, int] = {}
        wholes: list[str] = []  # normalised whole texts; only these are cut into windows
        owners: list[int] = []  # their indices in self.texts
        for text in texts:
            messages = [text] if isinstance(text, str) else list(text)
            parts = [self._add(message) for message in messages]
            whole = parts[0] if len(parts) == 1 else " ".join(parts)
            if len(parts) > 1:
                self._add("\n".join(messages), whole)
            wholes.append(whole)
            owners.append(len(self.texts) - 1)
        self._vocabulary = WordNumbers()
        hashes, numbers = window_hashes(wholes, n, self._vocabulary)
        order = np.argsort(hashes, kind="stable")
        self._hashes = hashes[order]  # (G,)
        self._owners = np.array(owners, dtype=np.int64)[numbers[order]]  # (G,)

    def _add(self, text: str, normalised: str | None = None) -> str:
        if normalised is None:
            normalised = normalise(text, keep_digits=self.keep_digits)
        self._exact.setdefault(text, len(self.texts))
        self._normalised.setdefault(normalised, len(self.texts))
        self.texts.append(text)
        return normalised

    def __contains__(self, item: object) -> bool:
        """Return whether `find` finds an item."""
        return isinstance(item, str) and self.find(item) is not None

    def find(self, item: str) -> Hit | None:
        """Return the strictest occurrence of `item`, or None. A blank item is never found."""
        if item in self._exact:
            return Hit("exact", item)
        normalised = normalise(item, keep_digits=self.keep_digits)
        if not normalised:
            return None
        if normalised in self._normalised:
            return Hit("normalised", self.texts[self._normalised[normalised]])
        if normalised.count(" ") < self.n - 1 or not len(self._hashes):  # too short for a window
            return None
        hashes, _ = window_hashes([normalised], self.n, self._vocabulary)
        places = np.minimum(np.searchsorted(self._hashes, hashes), len(self._hashes) - 1)
        for window in np.flatnonzero(self._hashes[places] == hashes):
            text = self.texts[self._owners[places[window]]]
            gram = " ".join(normalised.split()[window : window + self.n])
            # Hashes only propose candidates: the words themselves are compared.
            if gram in ngrams(text, self.n, keep_digits=self.keep_digits):
                return Hit("13-gram", text)
        return None


class WordNumbers(dict[str, int]):
    """Word -> 64 bits of its hash, the same in every process."""

    def __missing__(self, word: str) -> int:
        """Return the number of a new word."""
        digest = blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return self.setdefault(word, int.from_bytes(digest, "little"))


def window_hashes(
    normalised: Sequence[str], n: int, vocabulary: WordNumbers
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """Hash all windows of `n` words within a text to 64 bits; equal windows have equal hashes.

    Args:
        normalised: the normalised texts.
        n: words per window.
        vocabulary: the hashes of words, which need not be computed again; new words are added to it.

    Returns:
        The hashes (G,), and the index of the text that contains each window (G,).
    """
    words = [text.split() for text in normalised]
    ids = np.fromiter(map(vocabulary.__getitem__, chain.from_iterable(words)), dtype=np.uint64)
    owners = np.repeat(np.arange(len(words)), [len(text) for text in words])  # (W,)
    count = len(ids) - n + 1
    if count <= 0:
        return np.empty(0, np.uint64), np.empty(0, np.int64)
    mixed = (ids + np.uint64(1)) * _BASE  # spread small numbers over 64 bits (splitmix64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    hashes = np.zeros(count, np.uint64)
    for offset in range(n):  # Horner: polynomial in _BASE, mod 2**64
        hashes = hashes * _BASE + mixed[offset : offset + count]
    inside = owners[:count] == owners[n - 1 :]
    return hashes[inside], owners[:count][inside]


def digests(texts: Iterable[str]) -> npt.NDArray[np.uint64]:
    """Return 128 bits of the hash of each text, (texts, 2)."""
    hashed = (blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest() for text in texts)
    return np.frombuffer(b"".join(hashed), "<u8").reshape(-1, 2)


def linked_groups(texts: Sequence[str], n: int = N, *, keep_digits: bool = False) -> list[int]:
    """Group texts that share words, and return a group number for each text.

    Two texts are linked if they are equal after `normalise` or share `n` consecutive normalised words. A
    group has all texts that are connected by links, directly or through others; its number is the index of
    its first text. A text without links is a group by itself.
    """
    from scipy.cluster.hierarchy import DisjointSet  # importing it late saves a chat 0.2 s at its start

    normalised = [normalise(text, keep_digits=keep_digits) for text in texts]
    hashes, owners = window_hashes(normalised, n, WordNumbers())
    order = np.argsort(hashes, kind="stable")
    hashes, owners = hashes[order], owners[order]
    equal = np.flatnonzero(hashes[1:] == hashes[:-1])
    groups, earliest = DisjointSet(range(len(texts))), dict[str, int]()
    twins = [(earliest.setdefault(text, number), number) for number, text in enumerate(normalised)]
    windows = zip(owners[equal].tolist(), owners[equal + 1].tolist(), strict=True)
    for left, right in [*twins, *windows]:
        groups.merge(left, right)
    first: dict[int, int] = {}
    return [first.setdefault(groups[number], number) for number in range(len(texts))]
