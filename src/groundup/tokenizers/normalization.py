"""BERT's text normalization and word splitting, which come before WordPiece (Devlin et al. 2019).

Normalization cannot be undone: it loses the white space between words and, if so configured, capitals and accents.
It is tested against Hugging Face `tokenizers` for every character of Unicode 8; newer characters follow the tables
of `regex` and Python, which are newer than those of `tokenizers`.
"""

import unicodedata
from dataclasses import dataclass
from typing import Literal

import regex

from groundup.settings import STRICT

WordSplit = Literal["bert", "whitespace"]

_ASCII_SIGNS = r"!-/:-@\[-`{-~"  # all are punctuation for BERT, only some for Unicode
_SPLITS: dict[str, "regex.Pattern[str]"] = {
    "bert": regex.compile(rf"[^\p{{White_Space}}\p{{P}}{_ASCII_SIGNS}]++|[\p{{P}}{_ASCII_SIGNS}]"),
    "whitespace": regex.compile(r"\P{White_Space}++"),
}
_CONTROL = regex.compile(r"\uFFFD|(?![\t\n\r])[\p{Cc}\p{Cf}\p{Co}]")
_WHITE_SPACE = regex.compile(r"\p{White_Space}")
_ACCENT = regex.compile(r"\p{Mn}+")
_CJK = regex.compile(  # ideographs, as in BERT's own code; neither kana nor Hangul
    r"[\u4E00-\u9FFF\u3400-\u4DBF\uF900-\uFAFF\U00020000-\U0002A6DF\U0002A700-\U0002B73F\U0002B740-\U0002B81F"
    r"\U0002B920-\U0002CEAF\U0002F800-\U0002FA1F]"
)


@dataclass(frozen=True)
class Normalization:
    """The steps of BERT's text normalization, applied in this order.

    Uncased BERT uses all four, cased BERT the first two.
    """

    __pydantic_config__ = STRICT

    clean: bool
    """Remove control characters and turn all white space into spaces."""
    space_cjk: bool
    """Put spaces around ideographs, so that each is a word."""
    strip_accents: bool
    """Remove accents: é becomes e."""
    lowercase: bool
    """Lowercase the text: A becomes a."""

    def __call__(self, text: str) -> str:
        """Return the normalised text."""
        if self.clean:
            text = _WHITE_SPACE.sub(" ", _CONTROL.sub("", text))
        if self.space_cjk and not text.isascii():
            text = _CJK.sub(r" \g<0> ", text)
        if self.strip_accents and not text.isascii():
            text = _ACCENT.sub("", unicodedata.normalize("NFD", text))
        if self.lowercase:
            # Σ is the only letter whose lower case depends on its place in the word in Python.
            text = text.replace("Σ", "σ").lower()
        return text


def split_words(text: str, split: WordSplit) -> list[str]:
    """Split a normalised text into words for WordPiece, without white space.

    "bert" makes each punctuation mark a word: "don't!" -> ["don", "'", "t", "!"]. "whitespace" splits at
    white space only.
    """
    words: list[str] = _SPLITS[split].findall(text)
    return words
