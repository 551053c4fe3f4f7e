from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.errors import BadInput
from groundup.tokenizers.characters import CharacterTokenizer

TRAINED = CharacterTokenizer.train(["banana", "né"])


def test_ids_by_hand() -> None:
    assert TRAINED.characters == ("a", "n", "b", "é")  # counts 3, 3, 1, 1; ties in the order of code points
    assert TRAINED.vocab_size == 6
    assert TRAINED.encode("ban x") == [4, 2, 3, 1, 1]
    assert TRAINED.decode([4, 2, 3, 1, 0]) == "ban\ufffd"
    assert TRAINED.pieces("bé!") == ["b", "é", "\ufffd"]


@given(st.text("abné"))
def test_known_text_comes_back(text: str) -> None:
    assert TRAINED.decode(TRAINED.encode(text)) == text
    assert TRAINED.encode_batch([text, ""]) == [TRAINED.encode(text), []]


def test_saved_and_loaded(tmp_path: Path) -> None:
    TRAINED.save(tmp_path / "t.json")
    loaded = CharacterTokenizer.load(tmp_path / "t.json")
    assert loaded.characters == TRAINED.characters
    assert loaded.fingerprint == TRAINED.fingerprint


@pytest.mark.parametrize("texts", [[], [""]])
def test_an_empty_corpus(texts: list[str]) -> None:
    with pytest.raises(BadInput, match="empty; expected at least one character"):
        CharacterTokenizer.train(texts)


def test_lone_surrogates_are_refused() -> None:
    with pytest.raises(BadInput, match="half a surrogate pair"):
        TRAINED.encode("\ud83d")
    with pytest.raises(BadInput, match="half a surrogate pair"):
        CharacterTokenizer.train(["\ud83d"])


@pytest.mark.parametrize("characters", ["[]", '["a", "a"]', '["ab"]', "7"])
def test_damaged_files(tmp_path: Path, characters: str) -> None:
    (tmp_path / "t.json").write_text(f'{{"kind": "character", "version": 1, "characters": {characters}}}')
    with pytest.raises(BadInput, match=r"t\.json:? .* train the tokenizer again"):
        CharacterTokenizer.load(tmp_path / "t.json")
