"""Encoding against Hugging Face `tokenizers` and `transformers` with the same vocabulary."""

import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from groundup.errors import BadInput
from groundup.tokenizers.normalization import Normalization
from groundup.tokenizers.wordpiece import SPECIAL_TOKENS, WordPieceConfig, WordPieceTokenizer, WordRules

CASED = WordRules(Normalization(True, True, False, False), "bert", 12)
UNCASED = WordRules(Normalization(True, True, True, True), "bert", 12)
TEXT = "low low lower lowest newest widest wide, wider! Slow é"
CONFIG = WordPieceConfig("wordpiece", 60, CASED, alphabet_limit=30, min_pair_count=2)
TRAINED = WordPieceTokenizer.train([TEXT], CONFIG)

OLD = st.characters(exclude_categories=["Cs", "Cn"]).filter(
    lambda c: unicodedata.ucd_3_2_0.category(c) == unicodedata.category(c)
)
WORDS = st.text("lowernstid", max_size=14)
TEXTS = st.lists(st.one_of(WORDS, st.text(OLD, max_size=5), st.sampled_from("É , . ! # ## [MASK] [UNK] \t \n 中文"
                 .split(" "))), max_size=8)  # fmt: skip


def reference(tokenizer: WordPieceTokenizer) -> Tokenizer:
    """The same vocabulary in the library's own pipeline."""
    rules = tokenizer.rules
    vocabulary = {token: i for i, token in enumerate(tokenizer.tokens)}
    theirs = Tokenizer(
        models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=rules.max_word_chars)
    )
    chosen = rules.normalization
    theirs.normalizer = normalizers.BertNormalizer(
        clean_text=chosen.clean,
        handle_chinese_chars=chosen.space_cjk,
        strip_accents=chosen.strip_accents,
        lowercase=chosen.lowercase,
    )
    theirs.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return theirs


@given(TEXTS, st.sampled_from(["", " "]), st.sampled_from([CASED, UNCASED]))
def test_the_same_vocabulary_gives_the_same_ids_elsewhere(
    parts: list[str], glue: str, rules: WordRules
) -> None:
    text = glue.join(parts)
    ours = WordPieceTokenizer(TRAINED.tokens, rules)
    expected = reference(ours).encode(text, add_special_tokens=False).ids
    assert ours.encode(text) == expected
    assert ours.encode_batch([text, "low", text]) == [expected, ours.encode("low"), expected]


def test_the_same_ids_as_transformers(tmp_path: Path) -> None:
    from transformers import BertTokenizerFast

    (tmp_path / "vocab.txt").write_text("\n".join(TRAINED.tokens) + "\n", encoding="utf-8")
    theirs = BertTokenizerFast.from_pretrained(tmp_path, do_lower_case=False)
    for text in (TEXT, "newlow, slowest? xyz", ""):
        assert TRAINED.encode(text) == theirs(text, add_special_tokens=False)["input_ids"]


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_fast_and_readable_encoding_agree_on_any_text(text: str) -> None:
    for rules in (CASED, UNCASED, replace(CASED, split="whitespace")):
        tokenizer = WordPieceTokenizer(TRAINED.tokens, rules)
        assert tokenizer.encode_batch([text]) == [tokenizer.encode(text)]


def test_longest_match_by_hand() -> None:
    tokens = [*SPECIAL_TOKENS, "un", "u", "##n", "##believ", "##able", "##abl", "##e", "able"]
    tokenizer = WordPieceTokenizer(tokens, replace(CASED, max_word_chars=11))
    assert tokenizer.pieces("unbelievable able") == ["[UNK]", "able"]  # 12 characters
    tokenizer = WordPieceTokenizer(tokens, CASED)
    assert tokenizer.pieces("unbelievable able") == ["un", "##believ", "##able", "able"]
    assert tokenizer.encode("unable") == [5, 9]
    assert tokenizer.encode("unbe ablen") == [1, 12, 7]  # a word whose end is unknown is unknown as a whole
    assert tokenizer.word_starts([5, 8, 9, 12, 1, 4]) == [True, False, False, True, True, True]


def test_decoding_gives_words_with_single_spaces() -> None:
    assert TRAINED.decode(TRAINED.encode("lower,\n\n newest  wide!")) == "lower , newest wide !"
    assert TRAINED.decode([2, *TRAINED.encode("low 7"), 3, 0, 0]) == "low [UNK]"


SIGNS = st.one_of(
    st.sampled_from(["##head", "#head", "###", "##", "####a", "[MASK]", "[MASK]a", "[UNK]", "[", "head", "ahead"]),
    st.text("#[]MASKhead", min_size=1, max_size=8),
)  # fmt: skip


@given(st.lists(SIGNS, min_size=1, max_size=12), st.lists(SIGNS, max_size=8))
def test_words_that_look_like_pieces_or_special_tokens(learned: list[str], asked: list[str]) -> None:
    """A vocabulary without a name twice, and the library's ids. There a word may spell a special token: ours are
    renamed for it, with a space that no word has."""
    rules = replace(CASED, split="whitespace")
    config = replace(CONFIG, vocab_size=300, rules=rules, min_pair_count=1)
    tokenizer = WordPieceTokenizer.train([" ".join([*learned, "ab"])], config)
    pieces = tokenizer.tokens[len(SPECIAL_TOKENS) :]
    assert len(set(tokenizer.tokens)) == tokenizer.vocab_size
    # a piece that begins with ## goes on: its joins began inside a word
    assert all(merge.left.startswith("##") == merge.piece.startswith("##") for merge in tokenizer.merges)
    vocabulary = {f" {token}": i for i, token in enumerate(SPECIAL_TOKENS)}
    vocabulary |= {piece: len(SPECIAL_TOKENS) + i for i, piece in enumerate(pieces)}
    theirs = Tokenizer(
        models.WordPiece(vocabulary, unk_token=" [UNK]", max_input_chars_per_word=rules.max_word_chars)
    )
    theirs.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    text = " ".join([*learned, *asked])
    assert tokenizer.encode(text) == theirs.encode(text, add_special_tokens=False).ids


def test_special_tokens() -> None:
    assert TRAINED.tokens[:5] == SPECIAL_TOKENS
    assert (TRAINED.pad_id, TRAINED.unk_id, TRAINED.cls_id, TRAINED.sep_id, TRAINED.mask_id) == (
        0,
        1,
        2,
        3,
        4,
    )
    assert TRAINED.eot_id == TRAINED.sep_id
    by_space = WordPieceTokenizer(TRAINED.tokens, replace(CASED, split="whitespace"))
    assert by_space.encode("[MASK] [SEP]") == [1, 1]  # a special token in a text is an unknown word


def test_the_vocabulary_is_alphabet_then_pieces() -> None:
    characters = sorted(set(TEXT) - {" "})
    alphabet = [*characters, *("##" + character for character in characters)]
    assert list(TRAINED.tokens[5:]) == [*alphabet, *(merge.piece for merge in TRAINED.merges)]
    assert TRAINED.vocab_size == len(TRAINED.tokens) <= 60


def test_characters_beyond_the_limit_are_unknown() -> None:
    tokenizer = WordPieceTokenizer.train(["aaa bb c aa"], replace(CONFIG, vocab_size=10, alphabet_limit=2))
    assert tokenizer.tokens[5:9] == ("a", "b", "##a", "##b")
    assert tokenizer.encode("ab c") == [5, 8, 1]


def test_saved_and_loaded(tmp_path: Path) -> None:
    TRAINED.save(tmp_path / "t.json")
    loaded = WordPieceTokenizer.load(tmp_path / "t.json")
    assert loaded.fingerprint == TRAINED.fingerprint
    assert loaded.rules == TRAINED.rules
    assert loaded.encode(TEXT) == TRAINED.encode(TEXT)


def test_equal_texts_give_equal_tokenizers() -> None:
    assert WordPieceTokenizer.train([TEXT], CONFIG).fingerprint == TRAINED.fingerprint


@pytest.mark.parametrize(
    ("texts", "changes", "sentence"),
    [
        ([], {}, "corpus for the tokenizer is empty; expected at least one word"),
        ([" \n"], {}, "corpus for the tokenizer is empty"),
        (["word"], {}, "no pair of adjacent pieces occurs 2 times .* give more text or lower min_pair_count"),
        ([TEXT], {"vocab_size": 20}, r"vocabulary size is 20; expected at least 33 \(14 characters"),
        (["half \ud83d"], {}, "half a surrogate pair"),
    ],
)
def test_useless_corpora_are_refused(texts: list[str], changes: dict[str, int], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        WordPieceTokenizer.train(texts, replace(CONFIG, **changes))


def test_a_small_corpus_gives_a_smaller_vocabulary(caplog: pytest.LogCaptureFixture) -> None:
    tokenizer = WordPieceTokenizer.train(["low low"], CONFIG)
    assert tokenizer.tokens[11:] == ("lo", "low")
    assert "it gives 2 of 49 pieces" in caplog.text


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"tokens": ["a", "[UNK]"]}, r"lacks \[PAD\], \[CLS\]"),
        ({"tokens": list(SPECIAL_TOKENS)}, "expected at least one"),
        ({"tokens": [*SPECIAL_TOKENS, "a", "a"]}, "repeat"),
        ({"tokens": [*SPECIAL_TOKENS, 7]}, "list of strings"),
        ({"rules": {}}, "normalization: Field required"),
        ({"version": 2}, "has version 2"),
    ],
)
def test_damaged_files(tmp_path: Path, content: dict[str, object], sentence: str) -> None:
    import json

    document = {**json.loads(TRAINED.to_json()), **content}
    (tmp_path / "t.json").write_text(json.dumps(document))
    with pytest.raises(BadInput, match=sentence):
        WordPieceTokenizer.load(tmp_path / "t.json")


def test_lone_surrogates_are_refused() -> None:
    for encode in (TRAINED.encode, lambda text: TRAINED.encode_batch([text])):
        with pytest.raises(BadInput, match="half a surrogate pair"):
            encode("low \ud83d")
