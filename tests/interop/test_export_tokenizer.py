import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.errors import BadInput
from groundup.interop.export_tokenizer import gguf_fields, huggingface_document, merges
from groundup.interop.import_tokenizer import LLAMA_3
from groundup.tokenizers.bpe import END_OF_TEXT, BPETokenizer

TEXTS = [
    "low lower lowest, new newer newest",
    "In 1984 it's 12,345.67  \n\n ok!",
    "naïve Ünïcödé 😀 ١٢٣ Ⅷ",
] * 3


def theirs(tokenizer: BPETokenizer, **options: Any) -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_str(json.dumps(huggingface_document(tokenizer, **options)))


def test_merges_by_hand() -> None:
    tokenizer = BPETokenizer.train(["low low lower"], 259)
    assert merges(tokenizer) == [(b"l", b"o"), (b"lo", b"w")]


@settings(max_examples=60)
@given(st.lists(st.text("aab ", min_size=1, max_size=30), min_size=2, max_size=5))
def test_merges_are_those_that_were_learned(texts: list[str]) -> None:
    """Few letters give words such as aaaa, whose pairs overlap and spell one token in several ways."""
    try:
        tokenizer = BPETokenizer.train(texts, 280)
    except BadInput:  # nothing occurs twice
        return
    learned = [(merge.left, merge.right) for merge in tokenizer.merges]
    assert merges(tokenizer) == learned
    other = theirs(tokenizer)
    for text in [*texts, "aaaaaaa", "abaabaaab aab"]:
        assert other.encode(text).ids == tokenizer.encode(text)


def test_a_token_that_no_merge_gives() -> None:
    """As in Llama 3: no merge gives "abc", so it is used only for a whole word."""
    ranks = {bytes([byte]): byte for byte in range(256)} | {b"abc": 256, b"de": 257}
    tokenizer = BPETokenizer(ranks, "gpt2")
    assert merges(tokenizer) == [(b"d", b"e")]
    other = theirs(tokenizer)
    for text in ("abc", "abcde", "xabc abc"):
        assert other.encode(text).ids == tokenizer.encode(text)
    with pytest.raises(BadInput, match="tokens that no merge gives"):
        gguf_fields(tokenizer, END_OF_TEXT)


@pytest.fixture(
    scope="module", params=["gpt2", "smollm", "gpt4", LLAMA_3], ids=["gpt2", "smollm", "gpt4", "llama 3"]
)
def both(request: pytest.FixtureRequest) -> tuple[BPETokenizer, Any]:
    tokenizer = BPETokenizer.train(
        TEXTS, 310, pattern=request.param, special_tokens=[END_OF_TEXT, "<|im_end|>"]
    )
    return tokenizer, theirs(tokenizer)


@given(
    text=st.text(
        st.sampled_from(" \n\r\t0123456789٣Ⅷ½aéZ'smlow.,!😀_-S") | st.characters(exclude_categories=["Cs"])
    )
)
def test_ids_are_those_of_the_library(both: tuple[BPETokenizer, Any], text: str) -> None:
    ours, other = both
    for given_text in (text, text + END_OF_TEXT + text):
        assert other.encode(given_text).ids == ours.encode(given_text, allow_special=True)
    assert other.decode(ours.encode(text)) == text


def test_the_end_behind_each_text_and_one_more_token() -> None:
    tokenizer = BPETokenizer.train(TEXTS, 300)
    other = theirs(tokenizer, ends=True, padding="<|padding|>")
    assert other.encode("low").ids == [*tokenizer.encode("low"), tokenizer.eot_id]
    assert other.token_to_id("<|padding|>") == tokenizer.vocab_size


def test_patterns_that_other_libraries_read_differently_are_refused() -> None:
    for pattern, found in ((r"\p{N}{1,3}+|\P{N}", "{1,3}+"), (r"^a|[^a]|a", "^"), (r"\s+$|\S+|\s", "$")):
        tokenizer = BPETokenizer.train(TEXTS, 270, pattern=pattern)
        with pytest.raises(BadInput, match="splits text by") as caught:
            huggingface_document(tokenizer)
        assert f"reads {found!r} differently" in str(caught.value)
    huggingface_document(BPETokenizer.train(TEXTS, 270, pattern=r"\S+|[^\S]+|\$"))
    with pytest.raises(BadInput, match="does not support the tokenizer pattern"):
        gguf_fields(BPETokenizer.train(TEXTS, 270, pattern="gpt4"), END_OF_TEXT)


def test_a_token_spelled_like_a_special_one() -> None:
    ranks = {bytes([byte]): byte for byte in range(256)} | {b"ab": 256}
    tokenizer = BPETokenizer(ranks, "gpt2", [END_OF_TEXT, "ab"])
    with pytest.raises(BadInput, match="learned ab from text, which is also a special or added token"):
        huggingface_document(tokenizer)
