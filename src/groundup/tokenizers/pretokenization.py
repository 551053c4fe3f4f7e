r"""Cut text into words before byte-pair merging: no token ever crosses a word's border.

"I'll go,  ok" -> ["I", "'ll", " go", ",", " ", " ok"]: a word keeps the one space in front of it, so
that spaces cost nothing; contractions, digits and punctuation stay apart. Tokens that were added to a vocabulary as
whole texts, such as <|im_end|> or <think>, are cut out before.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
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
# The published expressions of models whose GGUF only names them.
LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN_2 = LLAMA_3.replace("{1,3}", "")

# What tiktoken's engine cuts as `split_words` does: expressions that match every character, and of whose parts only
# those for white space look back. It keeps a place to return to for each of its characters, and fails at a million.
_WHOLE = frozenset([*PATTERNS.values(), LLAMA_3, QWEN_2])
_MANY = 100_000

MATCHING = ("lstrip", "rstrip", "normalized")

_WHITE_SPACE = regex.compile(r"\s")
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
    """The pattern's matches and what stands between them, in order: together they are the text."""
    words = _matches(pattern, text)
    if sum(map(len, words)) == len(text):
        return words
    words, done = [], 0
    for match in pattern.finditer(hide_newer_characters(text)):
        words += [text[done : match.start()], text[match.start() : match.end()]]
        done = match.end()
    return [word for word in (*words, text[done:]) if word]


def _matches(pattern: "regex.Pattern[str]", text: str) -> list[str]:
    known = hide_newer_characters(text)
    if known is text:
        words: list[str] = pattern.findall(text)
        return words
    return [text[match.start() : match.end()] for match in pattern.finditer(known)]


def tiktoken_cuts_alike(pattern: str, text: str) -> bool:
    """Whether tiktoken is known to cut `text` by the expression `pattern` as `split_words` does, and not to fail."""
    return pattern in _WHOLE and not _has_many_blanks(text)


def _has_many_blanks(text: str) -> bool:
    """Whether the text may hold `_MANY` blanks in a row: a run that long fills one of these windows."""
    half = _MANY // 2
    return len(text) >= half and any(text[i : i + half].isspace() for i in range(0, len(text), half))


class AddedTokens:
    """Tokens that are found in the text itself, before the rest is cut into words.

    As in Hugging Face's library: of tokens that begin at one place the longest counts, and those that are looked for in
    the normalised text come after all others.
    """

    def __init__(
        self, ids: Mapping[str, int], control: Collection[str], matching: Mapping[str, Collection[str]]
    ) -> None:
        """A set of tokens.

        Args:
            ids: each token's text -> id.
            control: those that are found only where control tokens are allowed.
            matching: token -> which of MATCHING hold: it takes the white space before or behind it with it; it is
                looked for in the normalised text.
        """
        self._ids, self._control, self._matching = ids, control, matching
        later = [text for text in ids if "normalized" in matching.get(text, ())]
        groups = [[text for text in ids if text not in later], later]
        self._patterns = [
            re.compile("|".join(map(re.escape, sorted(group, key=len, reverse=True))))
            for group in groups
            if group
        ]

    def split(self, text: str, *, control: bool) -> list[tuple[str, int | None]]:
        """The text in parts, each with its id where it is a token."""
        parts: list[tuple[str, int | None]] = [(text, None)]
        for pattern in self._patterns:
            parts = [
                piece
                for part, found in parts
                for piece in (self._cut(pattern, part, control) if found is None else [(part, found)])
            ]
        return parts

    def _cut(self, pattern: "re.Pattern[str]", text: str, control: bool) -> Iterator[tuple[str, int | None]]:
        done = 0
        for match in pattern.finditer(text):
            token = match[0]
            if token in self._control and not control:
                continue
            start, stop = match.span()
            flags = self._matching.get(token, ())
            if "lstrip" in flags:
                while start > done and _WHITE_SPACE.match(text, start - 1):
                    start -= 1
                start = max(start, done)  # the token before may have taken the white space
            while "rstrip" in flags and _WHITE_SPACE.match(text, stop):
                stop += 1
            if done < start:
                yield text[done:start], None
            if start < stop:
                yield token, self._ids[token]
            done = stop
        if done < len(text):
            yield text[done:], None


def count_words(texts: Iterable[str], pattern: str, *, progress: bool = False) -> Counter[bytes]:
    """Return how often each word (as UTF-8) occurs in `texts`; `progress` shows a bar on a terminal.

    Raises:
        BadInput: a text has lone surrogates, or the pattern leaves out a part of it.
    """
    compiled = compile_pattern(pattern)
    words: Counter[str] = Counter()
    for text in tqdm(texts, desc="words", unit="text", disable=None if progress else True):
        check_text(text)
        found = _matches(compiled, text)
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
