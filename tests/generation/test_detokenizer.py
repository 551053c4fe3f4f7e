"""Text from tokens, piece by piece; the oracles are decoding all tokens at once, and searching the whole text."""

from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.generation.detokenizer import Detokenizer
from groundup.tokenizers.bpe import BPETokenizer
from groundup.tokenizers.characters import CharacterTokenizer
from groundup.tokenizers.loading import Tokenizer
from groundup.tokenizers.normalization import Normalization
from groundup.tokenizers.wordpiece import WordPieceConfig, WordPieceTokenizer, WordRules

TEXTS = ["tea ünd cake — tea and cäke", "日本 tea 🍵 cake", "and cakes"]
BPE = BPETokenizer.train(TEXTS, 270)
TOKENIZERS: list[Tokenizer] = [
    BPE,
    CharacterTokenizer.train(TEXTS),
    WordPieceTokenizer.train(
        TEXTS,
        WordPieceConfig(
            "wordpiece",
            80,
            WordRules(Normalization(True, True, False, False), "bert", 100),
            alphabet_limit=50,
            min_pair_count=1,
        ),
    ),
]


def pieces(detokenizer: Detokenizer, ids: list[int]) -> list[str]:
    return [*(detokenizer.add([token]) for token in ids), detokenizer.finish()]


BYTES = st.sampled_from(  # of characters that are cut off, too long, repeated, or U+FFFD itself
    [
        b"a",
        b"\x80",
        b"\xc3",
        b"\xe6\x97",
        b"\xf0\x9f",
        b"\xf0\x9f\x8d\xb5",
        b"\xed\xa0\x80",
        b"\xef\xbf\xbd",
        b"\xff",
    ]
)


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@given(data=st.data())
def test_any_tokens_become_the_text_of_all(tokenizer: Tokenizer, data: st.DataObject) -> None:
    ids = data.draw(st.lists(st.integers(0, tokenizer.vocab_size - 1), max_size=30))
    assert "".join(pieces(Detokenizer(tokenizer), ids)) == tokenizer.decode(ids)


@given(st.lists(BYTES, max_size=12), st.lists(st.sampled_from(["\N{REPLACEMENT CHARACTER}", "a", "🍵"])))
def test_any_bytes_become_the_text_of_all(parts: list[bytes], stop: list[str]) -> None:
    ids = list(b"".join(parts))
    whole = BPE.decode(ids)
    end = min((whole.find(one) for one in stop if one in whole), default=len(whole))
    assert "".join(pieces(Detokenizer(BPE, stop), ids)) == whole[:end]


@pytest.mark.parametrize(
    ("tokenizer", "run"),
    [(BPE, b"\x80"), (BPE, b"\xf0\x9f\x8d"), (BPE, b"\xef\xbf\xbd"), (TOKENIZERS[1], bytes([1]))],
)
def test_an_endless_run_of_broken_characters_is_shown_and_read_in_linear_time(
    tokenizer: Tokenizer, run: bytes
) -> None:
    longest = 0

    class Counting:
        def decode(self, ids: list[int]) -> str:
            nonlocal longest
            longest = max(longest, len(ids))
            return tokenizer.decode(ids)

    detokenizer = Detokenizer(cast(Tokenizer, Counting()))
    ids = list(run) * 100
    shown = "".join(detokenizer.add([token]) for token in ids)
    assert len(shown) == 99 and longest <= 4  # the last one may be the beginning of a character
    assert shown + detokenizer.finish() == tokenizer.decode(ids)


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@given(
    text=st.sampled_from(TEXTS), stop=st.lists(st.text("tea ncak🍵日ü", min_size=1, max_size=3), max_size=3)
)
def test_a_text_ends_before_the_first_stop_string(tokenizer: Tokenizer, text: str, stop: list[str]) -> None:
    ids = tokenizer.encode(text)
    whole = tokenizer.decode(ids)
    places = [whole.find(one) for one in stop if one in whole]
    detokenizer = Detokenizer(tokenizer, stop)
    found = pieces(detokenizer, ids)
    assert "".join(found) == detokenizer.text == whole[: min(places, default=len(whole))]
    assert detokenizer.stopped == bool(places)
    assert detokenizer.offsets == sorted(detokenizer.offsets)


def test_text_is_held_back_only_while_it_may_change() -> None:
    assert pieces(Detokenizer(BPE), list("aé🍵b".encode())) == ["a", "", "é", "", "", "", "🍵", "b", ""]
    assert pieces(Detokenizer(BPE), list("a🍵".encode())[:3]) == ["a", "", "", "\N{REPLACEMENT CHARACTER}"]
    assert pieces(Detokenizer(BPE, ["end", "no"]), list(b"an een")) == ["a", "", "n ", "", "e", "", "en"]
    assert pieces(Detokenizer(BPE, ["end"]), list(b"anend.")) == ["a", "n", "", "", "", "", ""]
