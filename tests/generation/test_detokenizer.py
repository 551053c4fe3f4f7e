"""Text from tokens, piece by piece; the oracles are decoding all tokens at once, and searching the whole text."""

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


@given(st.lists(st.integers(0, BPE.vocab_size - 1), max_size=30))
def test_any_tokens_become_the_text_of_all(ids: list[int]) -> None:
    assert "".join(pieces(Detokenizer(BPE), ids)) == BPE.decode(ids)


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
