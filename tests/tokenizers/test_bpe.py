import json
import logging
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import tiktoken
from hypothesis import given
from hypothesis import strategies as st

from groundup.errors import BadInput
from groundup.tokenizers.bpe import END_OF_TEXT, BPETokenizer
from groundup.tokenizers.pretokenization import LLAMA_3, PATTERNS, QWEN_2

TEXTS = [
    "Hello! How are you doing today?\nI'm good, thanks; how about you?",
    "low low lower lowest, new newer newest; wide wider widest",
    "naïve café, Straße, Привет, 東京都, 🙂🙂 and 1234567 times 89",
]


@cache
def small(pattern: str = "gpt2") -> BPETokenizer:
    return BPETokenizer.train(TEXTS * 3, 400, pattern=pattern, special_tokens=(END_OF_TEXT, "<|user|>"))


def test_hand_computed_merges_and_ids() -> None:
    tokenizer = BPETokenizer.train(["low low lower"], 259)
    assert tokenizer.tokens[256:] == [b"lo", b"low"]
    assert tokenizer.encode("slow lower") == [ord("s"), 257, ord(" "), 257, ord("e"), ord("r")]
    assert (tokenizer.vocab_size, tokenizer.eot_id) == (259, 258)


# Letters newer than tiktoken's Unicode tables, half-known scripts, marks, odd spaces, lookalikes of contractions.
young = "\u0558\u088f\u1c89\ua7da\U000323b0\U00011de0"
odd = st.sampled_from(young + "\u0301\u200d\u00a0\u2028\u3000\x1c\x85'\u017f\u017fsSd \r\n\t09\u00b2\u2167")
any_text = st.lists(st.one_of(st.text(max_size=8), odd, st.sampled_from(TEXTS))).map("".join)


@pytest.mark.parametrize("pattern", ["gpt2", "gpt4"])
@given(text=any_text)
def test_ids_are_tiktokens_and_decode_to_the_text(pattern: str, text: str) -> None:
    tokenizer = small(pattern)
    ids = tokenizer.encode(text)
    assert ids == tokenizer.encoding.encode_ordinary(text) == tokenizer.encode_batch([text])[0]
    assert tokenizer.decode(ids) == text
    assert all(i not in tokenizer.special_tokens.values() for i in ids)


@given(st.lists(st.sampled_from([END_OF_TEXT, "<|user|>", "<|", "|>", "low", " ", "🙂", "é"])).map("".join))
def test_special_tokens_only_when_asked(text: str) -> None:
    tokenizer = small()
    assert max(tokenizer.encode(text), default=0) < len(tokenizer.tokens)
    asked = tokenizer.encode(text, allow_special=True)
    assert asked == tokenizer.encoding.encode(text, allowed_special="all")
    assert asked == tokenizer.encode_batch([text], allow_special=True)[0]
    assert asked.count(tokenizer.eot_id) == text.count(END_OF_TEXT)
    assert tokenizer.decode(asked) == text


def test_special_tokens_come_last() -> None:
    tokenizer = small()
    assert tokenizer.special_tokens == {
        END_OF_TEXT: tokenizer.vocab_size - 2,
        "<|user|>": tokenizer.vocab_size - 1,
    }
    assert tokenizer.encode("a<|user|>", allow_special=True) == [97, tokenizer.vocab_size - 1]


def test_half_a_character_decodes_to_the_replacement_character() -> None:
    assert small().decode([0xE2, 0x82]) == "\ufffd"
    assert small().decode_bytes([0xE2, 0x82]) == b"\xe2\x82"


def test_equal_texts_give_equal_files(tmp_path: Path) -> None:
    first, second = (BPETokenizer.train(TEXTS, 270) for _ in range(2))
    first.save(tmp_path / "a.json")
    second.save(tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert first.fingerprint == second.fingerprint != BPETokenizer.train(TEXTS, 271).fingerprint


def test_a_saved_tokenizer_is_the_same_tokenizer(tmp_path: Path) -> None:
    tokenizer = small("gpt4")
    tokenizer.save(tmp_path / "tokenizer.json")
    loaded = BPETokenizer.load(tmp_path / "tokenizer.json")
    assert loaded.ranks == tokenizer.ranks
    assert loaded.special_tokens == tokenizer.special_tokens
    assert loaded.pattern == tokenizer.pattern
    assert loaded.fingerprint == tokenizer.fingerprint
    assert "Ġlow" in json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))["tokens"]


def test_files_spell_bytes_as_gpt2_does() -> None:
    document = json.loads(BPETokenizer.train(["no merges"], 257).to_json())
    # tiktoken's reader of GPT-2's files, given single bytes only, numbers the spellings in its own order
    assert sorted(document["tokens"]) == sorted(
        [chr(b) for b in range(256) if chr(b).isprintable() and chr(b) != " "]
        + [chr(256 + i) for i in range(68)]
    )
    assert document["tokens"][ord(" ")] == "Ġ"
    assert document["tokens"][ord("\n")] == "Ċ"


def saved(tmp_path: Path, **changes: object) -> Path:
    document = json.loads(BPETokenizer.train(TEXTS, 300).to_json()) | changes
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({key: value for key, value in document.items() if value is not None}))
    return path


def test_bad_files_are_refused(tmp_path: Path) -> None:
    tokens = json.loads(BPETokenizer.train(TEXTS, 300).to_json())["tokens"]
    for changes, sentence in [
        ({"version": 2}, "version 2; expected 1"),
        ({"version": None}, "not a saved tokenizer; expected a JSON object with"),
        ({"tokens": tokens[1:]}, "lacks 1 of the 256 single bytes"),
        ({"tokens": [*tokens, tokens[-1]]}, "occurs twice"),
        ({"tokens": [*tokens, ""]}, "is empty"),
        ({"tokens": [*tokens, "a b"]}, "represents no byte"),
        ({"tokens": [*tokens, 7]}, "lists of strings"),
        ({"special_tokens": []}, "expected '<|endoftext|>' among them"),
        ({"special_tokens": [END_OF_TEXT, END_OF_TEXT]}, "repeats"),
        ({"pattern": "("}, "not a valid regular expression"),
    ]:
        with pytest.raises(BadInput) as raised:
            BPETokenizer.load(saved(tmp_path, **changes))
        assert sentence in str(raised.value)
        assert "tokenizer.json" in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[1]"])
def test_files_that_are_no_json_object_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(BadInput, match=r"tokenizer\.json"):
        BPETokenizer.load(tmp_path / "tokenizer.json")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="does not exist"):
        BPETokenizer.load(tmp_path / "tokenizer.json")


def test_ids_with_gaps_are_refused() -> None:
    ranks = {bytes([byte]): byte for byte in range(256)} | {b"ab": 300}
    with pytest.raises(BadInput, match="gaps"):
        BPETokenizer(ranks, "gpt2")


@pytest.mark.parametrize(
    ("texts", "vocab_size", "sentence"),
    [
        ([], 300, "corpus for the tokenizer is empty"),
        ([""], 300, "corpus for the tokenizer is empty"),
        (["a"], 256, "expected at least 257"),
        (["abc"], 300, "no pair of bytes occurs twice"),
        (["good", "bad \ud83d"], 300, r"half a surrogate pair \(U\+D83D\) at character 4"),
    ],
)
def test_useless_corpora_are_refused(texts: list[str], vocab_size: int, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        BPETokenizer.train(texts, vocab_size)


@pytest.mark.parametrize(
    "special_tokens", [(), ("<|user|>",), (END_OF_TEXT, ""), (END_OF_TEXT, "<|endoftext|>!")]
)
def test_invalid_special_tokens_are_refused(special_tokens: tuple[str, ...]) -> None:
    with pytest.raises(BadInput, match=r"tokenizer\.special_tokens"):
        BPETokenizer.train(TEXTS, 300, special_tokens=special_tokens)


def test_a_small_corpus_gives_a_smaller_vocabulary_and_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        tokenizer = BPETokenizer.train(["abab"], 4096)
    assert tokenizer.tokens[256:] == [b"ab"]
    assert tokenizer.vocab_size == 258
    assert "it gives 1 of 3839 merges" in caplog.text


def test_lone_surrogates_are_refused_by_every_encoder() -> None:
    for encode in (small().encode, lambda text: small().encode_batch([text])):
        with pytest.raises(BadInput, match="half a surrogate pair"):
            encode("a\udc00")


def test_a_pattern_that_only_python_understands_is_refused() -> None:
    tokenizer = BPETokenizer.train(["abab abab"], 300, pattern=r"(?|\S+|\s+)")  # branch reset
    with pytest.raises(BadInput, match="tiktoken does not support the tokenizer pattern"):
        _ = tokenizer.encoding


def test_the_encoding_serves_numpy_too() -> None:
    encoding = small().encoding
    assert isinstance(encoding, tiktoken.Encoding)
    assert encoding.n_vocab == small().vocab_size
    ids = encoding.encode_to_numpy(TEXTS[0], allowed_special=set(), disallowed_special=())
    assert ids.dtype == np.uint32
    assert ids.tolist() == small().encode(TEXTS[0])


@pytest.mark.parametrize(
    ("pattern", "run"),
    [*((pattern, " ") for pattern in (*PATTERNS, LLAMA_3, QWEN_2)), ("gpt2", "\n"), ("smollm", "\r")],
)
def test_long_runs_of_white_space_follow_the_rule_of_short_ones(pattern: str, run: str) -> None:
    """The rule: all but the last character of the run are a word; the last one joins the text that follows."""
    tokenizer = BPETokenizer.train(["low low"], 259, pattern=pattern)
    for n in (9, 999_999):
        text = f"{run * n}low"
        rest = tokenizer.encode(f"{run}low")
        expected = [ord(run)] * (n - 1) + rest
        assert tokenizer.encode_batch([text]) == [expected]
        if n == 9:
            assert tokenizer.encoding.encode_ordinary(text) == expected


RANKS = {bytes([byte]): byte for byte in range(256)} | {b"aa": 256, b" a": 257}


@pytest.mark.parametrize(
    "tokenizer",
    [
        BPETokenizer(RANKS, "gpt2", ["<|endoftext|>", "a|"]),
        BPETokenizer(RANKS, "gpt4", ["<|endoftext|>"]),
        # what ends a text may overlap with its end, begin another token or contain one
        BPETokenizer(RANKS, "gpt2", {"aa": 258}, end="aa"),
        BPETokenizer(RANKS, "gpt2", {"|a": 258, "|a|": 259}, end="|a"),
        BPETokenizer(RANKS, "gpt2", {"a": 258, "|a|": 259}, end="|a|"),
        BPETokenizer(RANKS, "gpt2", {"|>": 258}, end="|>", added_tokens={"a |": 259}),
        BPETokenizer(RANKS, "[a-z]+"),
        BPETokenizer({t: i for i, t in enumerate(t for t in RANKS if t != b"|")}, "gpt2", drops_bytes=True),
    ],
)
@given(
    texts=st.lists(st.text("a|> \né", max_size=9) | st.sampled_from(["<|endoftext|>", "x<|endof", "text|>"]))
)
def test_many_texts_are_encoded_as_one(tokenizer: BPETokenizer, texts: list[str]) -> None:
    expected = [tokenizer.encode(text) for text in texts]
    assert tokenizer.encode_batch(texts) == expected
    joined = tokenizer.encode_joined(texts)
    assert joined.dtype == np.uint32
    assert joined.tolist() == [i for ids in expected for i in (*ids, tokenizer.eot_id)]


def test_the_number_of_threads_does_not_change_the_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("groundup.tokenizers.bpe.ENCODED_CHARS", 20)
    texts = [f"text {i} {'a' * (i % 30)}" for i in range(100)]
    expected = [small().encode(text) for text in texts]
    for n_threads in (1, 2, 5):
        assert small().encode_batch(texts, n_threads=n_threads) == expected


def test_words_of_a_pattern_that_leaves_some_out_are_not_lost() -> None:
    ranks = {bytes([byte]): byte for byte in range(256)} | {b", ": 256, b"at": 257}
    tokenizer = BPETokenizer(ranks, r"\p{L}+")
    ids = tokenizer.encode("The cat, 2 mats!")
    assert tokenizer.decode(ids) == "The cat, 2 mats!" and 256 in ids
    assert tokenizer.encode_batch(["The cat, 2 mats!"]) == [ids]


def with_added_tokens() -> BPETokenizer:
    ranks = {bytes([byte]): byte for byte in range(256)}
    added = {"<think>": 257, "  ": 258, "   ": 259}
    return BPETokenizer(
        ranks, "gpt2", {END_OF_TEXT: 256}, added_tokens=added, matching={"<think>": ["rstrip"]}
    )


def test_added_tokens_are_found_in_every_text(tmp_path: Path) -> None:
    tokenizer = with_added_tokens()
    text = f"a<think> b     {END_OF_TEXT}"
    plain = [97, 257, 98, 259, 258]
    assert tokenizer.encode(text, allow_special=True) == [*plain, 256]
    assert tokenizer.encode(text) == plain + list(END_OF_TEXT.encode()) == tokenizer.encode_batch([text])[0]
    assert tokenizer.decode([257, 98, 259]) == "<think>b   "
    tokenizer.save(tmp_path / "t.json")
    again = BPETokenizer.load(tmp_path / "t.json")
    assert again.fingerprint == tokenizer.fingerprint
    assert again.encode(text, allow_special=True) == [*plain, 256]


@pytest.mark.parametrize(
    ("added", "matching"),
    [
        ({"": 257}, {}),
        ({END_OF_TEXT: 257}, {}),
        ({"a b": 257}, {"a b": ["single_word"]}),
        ({}, {"x": ["lstrip"]}),
    ],
)
def test_invalid_added_tokens_are_refused(added: dict[str, int], matching: dict[str, list[str]]) -> None:
    ranks = {bytes([byte]): byte for byte in range(256)}
    with pytest.raises(BadInput, match=r"added token|gaps"):
        BPETokenizer(ranks, "gpt2", {END_OF_TEXT: 256}, added_tokens=added, matching=matching)
