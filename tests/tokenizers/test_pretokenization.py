from functools import cache

import pytest
import tiktoken
from hypothesis import given
from hypothesis import strategies as st

from groundup.tokenizers.pretokenization import (
    PATTERNS,
    compile_pattern,
    hide_newer_characters,
    split_words,
)

# All of Unicode except surrogates and the planes that are empty or for private use.
EVERY_CHARACTER = "".join(chr(c) for c in [*range(0xD800), *range(0xE000, 0x34000), *range(0xE0000, 0xE0200)])


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("gpt2", ["I", "'ll", " go", ",", " ", " ok", " 2024", "!!", "\n\n"]),
        ("gpt4", ["I", "'ll", " go", ",", " ", " ok", " ", "202", "4", "!!\n\n"]),
    ],
)
def test_hand_cut_words(pattern: str, words: list[str]) -> None:
    assert split_words(compile_pattern(pattern), "I'll go,  ok 2024!!\n\n") == words


@cache
def matches_in_tiktoken(expression: str) -> set[str]:
    ranks = {bytes([byte]): byte for byte in range(256)}
    encoding = tiktoken.Encoding("class", pat_str=expression, mergeable_ranks=ranks, special_tokens={})
    return set(encoding.decode(encoding.encode_ordinary(EVERY_CHARACTER)))


@pytest.mark.parametrize("character_class", [r"\p{L}", r"\p{N}", r"\s"])
def test_every_character_is_in_the_class_that_tiktoken_has_it_in(character_class: str) -> None:
    known = hide_newer_characters(EVERY_CHARACTER)
    assert len(known) == len(EVERY_CHARACTER)
    matches = {match.start() for match in compile_pattern(character_class).finditer(known)}
    assert {EVERY_CHARACTER[i] for i in matches} == matches_in_tiktoken(character_class)


@pytest.mark.parametrize("pattern", PATTERNS)
@given(text=st.text())
def test_no_character_is_lost(pattern: str, text: str) -> None:
    assert "".join(split_words(compile_pattern(pattern), text)) == text


def test_text_without_newer_characters_is_returned_as_it_is() -> None:
    text = "naïve café, 東京 and 🙂"
    assert hide_newer_characters(text) is text
