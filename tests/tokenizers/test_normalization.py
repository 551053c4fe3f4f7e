"""Every step against Hugging Face `tokenizers`, whose Rust is BERT's reference today."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer, WhitespaceSplit

from groundup.tokenizers.normalization import Normalization, split_words


def is_old(character: str) -> bool:
    """Tables of different years disagree about characters that Unicode 3.2 (2002) lacked or classed differently."""
    category = unicodedata.ucd_3_2_0.category(character)
    return category not in ("Cn", "Cs") and category == unicodedata.category(character)


OLD_CHARACTERS = st.characters(exclude_categories=["Cs", "Cn"]).filter(is_old)
SPECIAL_CASES = "aÀé .,!'$^`~\t\n\r\v\f\x1c\0\u00a0\u2028\u200d\ufffdΣ中的ー가İßǅ"
TEXTS = st.text(st.one_of(OLD_CHARACTERS, st.sampled_from(SPECIAL_CASES)))
OPTIONS = st.tuples(st.booleans(), st.booleans(), st.booleans(), st.booleans())


def reference(clean: bool, space_cjk: bool, strip_accents: bool, lowercase: bool) -> BertNormalizer:
    return BertNormalizer(
        clean_text=clean, handle_chinese_chars=space_cjk, strip_accents=strip_accents, lowercase=lowercase
    )


@given(TEXTS, OPTIONS)
def test_normalises_like_the_reference(text: str, options: tuple[bool, bool, bool, bool]) -> None:
    assert Normalization(*options)(text) == reference(*options).normalize_str(text)


@given(TEXTS)
def test_splits_words_like_the_reference(text: str) -> None:
    assert split_words(text, "bert") == [word for word, _ in BertPreTokenizer().pre_tokenize_str(text)]
    assert split_words(text, "whitespace") == [word for word, _ in WhitespaceSplit().pre_tokenize_str(text)]


def test_every_character_of_older_unicode_tables() -> None:
    text = "a".join(filter(is_old, map(chr, range(0x110000))))
    for options in ((True, True, False, False), (True, True, True, True), (False, False, False, True)):
        assert Normalization(*options)(text) == reference(*options).normalize_str(text), options
    assert split_words(text, "bert") == [word for word, _ in BertPreTokenizer().pre_tokenize_str(text)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((True, True, True, True), "ecole 中 sigmaς"),
        ((True, True, False, False), "École 中 SigmaΣ".replace("Σ", "ς")),
        ((False, False, False, False), "Éc\0ole\t中 Sigmaς"),
    ],
)
def test_by_hand(options: tuple[bool, bool, bool, bool], expected: str) -> None:
    found = Normalization(*options)("Éc\0ole\t中 Sigmaς")
    assert " ".join(found.split()) == " ".join(expected.split())


def test_a_mark_is_a_word() -> None:
    assert split_words("Don't pay $5, ok?", "bert") == ["Don", "'", "t", "pay", "$", "5", ",", "ok", "?"]
    assert split_words("Don't pay $5, ok?", "whitespace") == ["Don't", "pay", "$5,", "ok?"]
