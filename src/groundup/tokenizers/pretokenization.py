r"""Cut text into words before byte-pair merging: no token ever crosses a word's border.

"I'll go,  ok" -> ["I", "'ll", " go", ",", " ", " ok"]: a word keeps the one space in front of it, so
that spaces cost nothing; contractions, digits and punctuation stay apart.
"""

from collections import Counter
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

import regex
from tqdm import tqdm

from groundup.errors import BadInput

if TYPE_CHECKING:
    import tiktoken

# As in tiktoken_ext/openai_public.py (r50k_base, cl100k_base): the published patterns, made possessive.
PATTERNS = {
    "gpt2": r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s""",
    "gpt4": (
        r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"""
        r"""|\s++$|\s*[\r\n]|\s+(?!\S)|\s"""
    ),
    # of SmolLM2: every digit by itself, and GPT-2's pattern between them, for which a digit is the end of the text
    "smollm": r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++|\p{N}| ?[^\s\p{L}\p{N}]++|\s++(?=\p{N}|$)|\s+(?!\S)|\s""",
}

_NEVER_ASSIGNED = "\uffff"  # a noncharacter: unassigned in every version of Unicode, past and future


def compile_pattern(pattern: str) -> "regex.Pattern[str]":
    """Compile a name of PATTERNS, or a regular expression of one's own.

    Raises:
        BadInput: the expression is not valid, or has capturing groups (which would hide the match itself).
    """
    try:
        compiled = regex.compile(PATTERNS.get(pattern, pattern))
    except regex.error as error:
        raise BadInput(
            f"tokenizer pattern {pattern!r} is no regular expression ({error}); "
            f"use one of {', '.join(PATTERNS)} or correct the expression."
        ) from error
    if compiled.groups:
        raise BadInput(
            f"tokenizer pattern {pattern!r} has a capturing group (...); write a non-capturing one, (?:...)."
        )
    return compiled


def split_words(pattern: "regex.Pattern[str]", text: str) -> list[str]:
    """Return the pattern's matches in order; what none matches is lost (the patterns above lose nothing)."""
    known = hide_newer_characters(text)
    if known is text:
        words: list[str] = pattern.findall(text)
        return words
    return [text[match.start() : match.end()] for match in pattern.finditer(known)]


def count_words(texts: Iterable[str], pattern: str, *, progress: bool = False) -> Counter[bytes]:
    """Return how often each word (as UTF-8) occurs in `texts`; `progress` shows a bar on a terminal.

    Raises:
        BadInput: a text has lone surrogates, or the pattern leaves out a part of it.
    """
    compiled = compile_pattern(pattern)
    words: Counter[str] = Counter()
    for text in tqdm(texts, desc="words", unit="text", disable=None if progress else True):
        check_text(text)
        found = split_words(compiled, text)
        if sum(map(len, found)) != len(text):
            raise BadInput(
                f"tokenizer.pattern matches only a part of a text ({text[:40]!r}...), the rest would be "
                f"lost; expected one that matches every character, such as {' or '.join(PATTERNS)}."
            )
        words.update(found)
    return Counter({word.encode(): n for word, n in words.items() if word})


def check_text(text: str) -> None:
    """Raise BadInput where `text` cannot be written as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadInput(
            f"the text has half a surrogate pair (U+{ord(text[error.start]):04X}) at character "
            f"{error.start}, which no UTF-8 text can hold; decode the source again, with its own encoding."
        ) from error


def hide_newer_characters(text: str) -> str:
    r"""Replace characters that tiktoken's Unicode tables do not know by one that nobody knows, one for one.

    The `regex` module has newer tables than tiktoken's engine: the two disagree about \p{L} or \p{N} for some
    17,000 young characters, and so would our words. Text without any of them is returned as it is.
    """
    if text.isascii():
        return text
    newer = _newer_characters("".join(sorted(set(text))))
    return text.translate(dict.fromkeys(map(ord, newer), _NEVER_ASSIGNED)) if newer else text


@cache
def _unassigned() -> "tiktoken.Encoding":
    import tiktoken

    ranks = {bytes([byte]): byte for byte in range(256)}
    return tiktoken.Encoding("unassigned", pat_str=r"\p{Cn}", mergeable_ranks=ranks, special_tokens={})


def _newer_characters(characters: str) -> str:
    """Return those of `characters` that are assigned for `regex` and not for tiktoken."""
    unassigned = _unassigned()
    unknown = unassigned.decode(unassigned.encode_ordinary(characters))  # keeps the matches of \p{Cn} only
    return "".join(regex.findall(r"\P{Cn}", unknown))
