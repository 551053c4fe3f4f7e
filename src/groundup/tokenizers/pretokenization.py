r"""Split text into words before byte-pair merging: no token crosses the boundary of a word.

"I'll go,  ok" -> ["I", "'ll", " go", ",", " ", " ok"]. A word keeps the space in front of it, so single spaces cost
no token; contractions, digits and punctuation are words of their own. Special and added tokens, such as <|im_end|>
or <think>, are matched before the text is split.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING

import regex

from groundup.errors import BadInput
from groundup.text.documents import check_text

if TYPE_CHECKING:
    import tiktoken

# As in tiktoken_ext/openai_public.py (r50k_base, cl100k_base): the models' own patterns, made possessive.
PATTERNS = {
    "gpt2": r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s""",
    "gpt4": (
        r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"""
        r"""|\s++$|\s*[\r\n]|\s+(?!\S)|\s"""
    ),
    # SmolLM2: each digit is a word, and GPT-2's pattern applies between digits as if each digit ended the text
    "smollm": r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++|\p{N}| ?[^\s\p{L}\p{N}]++|\s++(?=\p{N}|$)|\s+(?!\S)|\s""",
}
# Patterns of models whose GGUF file contains only the pattern's name.
LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN_2 = LLAMA_3.replace("{1,3}", "")

# Patterns by which tiktoken splits as `split_words` does: they match every character, and only their parts for white
# space backtrack. tiktoken's engine stores one state per character of a run of white space, and fails at a million.
_WHOLE = frozenset([*PATTERNS.values(), LLAMA_3, QWEN_2])
_MANY = 100_000

MATCHING = ("lstrip", "rstrip", "normalized")

_WHITE_SPACE = regex.compile(r"\s")
_NEVER_ASSIGNED = "\uffff"  # a noncharacter: unassigned in every version of Unicode, past and future


def compile_pattern(pattern: str) -> "regex.Pattern[str]":
    """Compile the pattern of a tokenizer: a name in PATTERNS, or a custom regular expression.

    Raises:
        BadInput: the expression is not valid, or has capturing groups (findall would return them, not the match).
    """
    try:
        compiled = regex.compile(PATTERNS.get(pattern, pattern))
    except regex.error as error:
        raise BadInput(
            f"tokenizer pattern {pattern!r} is not a valid regular expression ({error}); "
            f"use one of {', '.join(PATTERNS)} or correct the expression."
        ) from error
    if compiled.groups:
        raise BadInput(
            f"tokenizer pattern {pattern!r} has a capturing group (...); write a non-capturing one, (?:...)."
        )
    return compiled


def split_words(pattern: "regex.Pattern[str]", text: str) -> list[str]:
    """Split a text into words before byte-pair merging.

    The words are the pattern's matches and the text between them, in order; joined, they give the text.
    """
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
    """Return whether tiktoken is known to split `text` as `split_words` does, without failing.

    `pattern` is the regular expression itself, not its name in PATTERNS.
    """
    return pattern in _WHOLE and not _has_many_blanks(text)


def _has_many_blanks(text: str) -> bool:
    """Return whether the text may contain `_MANY` blanks in a row.

    Only windows of half that length are checked: so long a run fills at least one of them.
    """
    half = _MANY // 2
    return len(text) >= half and any(text[i : i + half].isspace() for i in range(0, len(text), half))


class AddedTokens:
    """Special and added tokens: they are matched in the text itself, before the rest is split into words.

    As in Hugging Face's library, the longest of the tokens that match at one place wins, and tokens with
    "normalized" come after all others.
    """

    def __init__(
        self, ids: Mapping[str, int], control: Collection[str], matching: Mapping[str, Collection[str]]
    ) -> None:
        """Compile the patterns of the tokens.

        Args:
            ids: text of each token -> id.
            control: the tokens that are matched only if control tokens are allowed.
            matching: token -> names in MATCHING. "lstrip" and "rstrip" include the white space before and
                after it in the match. "normalized" matches it after all tokens without that name; no text is
                normalised here.
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
        """Split a text at its special and added tokens.

        Returns:
            The parts in order, each with the id of its token, or None for other text.
        """
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


def count_part(texts: Iterable[str], pattern: str) -> Counter[str]:
    """Count each word of `texts`, which may be a part of a corpus.

    Raises:
        BadInput: a text has lone surrogates, or the pattern does not match all of it.
    """
    compiled = compile_pattern(pattern)
    words: Counter[str] = Counter()
    for text in texts:
        check_text(text)
        found = _matches(compiled, text)
        if sum(map(len, found)) != len(text):
            raise BadInput(
                f"tokenizer.pattern matches only a part of a text ({text[:40]!r}...), so the rest would be lost; "
                f"expected a pattern that matches every character: use one such as {' or '.join(PATTERNS)}."
            )
        words.update(found)
    return words


def hide_newer_characters(text: str) -> str:
    r"""Replace each character that tiktoken's Unicode tables do not know by one that is never assigned.

    The `regex` module has newer tables than tiktoken's engine. The two disagree about \p{L} or \p{N} for some
    17,000 newer characters, and would split words differently. A text without such characters is returned
    unchanged.
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
    """Return the characters that are assigned for `regex` but not for tiktoken."""
    unassigned = _unassigned()
    unknown = unassigned.decode(unassigned.encode_ordinary(characters))  # keeps the matches of \p{Cn} only
    return "".join(regex.findall(r"\P{Cn}", unknown))
