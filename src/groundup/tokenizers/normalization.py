"""What BERT does to a text before it looks for pieces (Devlin et al. 2019): clean it, then cut it into words.

Everything lost here is lost for good: which white space stood between two words, and, as chosen, capitals and
accents. Checked against Hugging Face `tokenizers` for every character of Unicode 8; younger ones follow the tables of
`regex` and Python, which are newer than theirs.
"""

import unicodedata
from dataclasses import dataclass
from typing import Literal

import regex

from groundup.settings import STRICT

WordSplit = Literal["bert", "whitespace"]

_ASCII_SIGNS = r"!-/:-@\[-`{-~"  # BERT counts all of them as punctuation, Unicode only some
_SPLITS: dict[str, "regex.Pattern[str]"] = {
    "bert": regex.compile(rf"[^\p{{White_Space}}\p{{P}}{_ASCII_SIGNS}]++|[\p{{P}}{_ASCII_SIGNS}]"),
    "whitespace": regex.compile(r"\P{White_Space}++"),
}
_CONTROL = regex.compile(r"\uFFFD|(?![\t\n\r])[\p{Cc}\p{Cf}\p{Co}]")
_WHITE_SPACE = regex.compile(r"\p{White_Space}")
_ACCENT = regex.compile(r"\p{Mn}+")
_CJK = regex.compile(  # ideographs, as in BERT's own code: not kana, not Hangul
    r"[\u4E00-\u9FFF\u3400-\u4DBF\uF900-\uFAFF\U00020000-\U0002A6DF\U0002A700-\U0002B73F\U0002B740-\U0002B81F"
    r"\U0002B920-\U0002CEAF\U0002F800-\U0002FA1F]"
)


@dataclass(frozen=True)
class Normalization:
    """Which steps are taken, in this order. BERT uncased takes all four, BERT cased the first two."""

    __pydantic_config__ = STRICT

    clean: bool
    """Remove control characters and turn all white space into spaces."""
    space_cjk: bool
    """Put spaces around ideographs, so that each is a word."""
    strip_accents: bool
    """é becomes e."""
    lowercase: bool
    """A becomes a."""

    def __call__(self, text: str) -> str:
        """The normalised text."""
        if self.clean:
            text = _WHITE_SPACE.sub(" ", _CONTROL.sub("", text))
        if self.space_cjk and not text.isascii():
            text = _CJK.sub(r" \g<0> ", text)
        if self.strip_accents and not text.isascii():
            text = _ACCENT.sub("", unicodedata.normalize("NFD", text))
        if self.lowercase:
            text = text.replace(
                "Σ", "σ"
            ).lower()  # the one letter that Python lowers by its place in the word
        return text


def split_words(text: str, split: WordSplit) -> list[str]:
    """The words of a normalised text; white space is not kept.

    "bert": a punctuation mark is a word: "don't!" -> ["don", "'", "t", "!"]. "whitespace": nothing else divides.
    """
    words: list[str] = _SPLITS[split].findall(text)
    return words
