from pathlib import Path

import pytest

from groundup.errors import BadInput
from groundup.tokenizers.bpe import BPETokenizer
from groundup.tokenizers.characters import CharacterTokenizer
from groundup.tokenizers.loading import Tokenizer, load_tokenizer
from groundup.tokenizers.normalization import Normalization
from groundup.tokenizers.wordpiece import WordPieceConfig, WordPieceTokenizer, WordRules

TEXT = "low low lower é"
RULES = WordRules(Normalization(True, True, False, False), "bert", 100)
TOKENIZERS: list[Tokenizer] = [
    BPETokenizer.train([TEXT], 259),
    BPETokenizer.train([TEXT], 257),  # bytes
    CharacterTokenizer.train([TEXT]),
    WordPieceTokenizer.train([TEXT], WordPieceConfig("wordpiece", 22, RULES, 20, 2)),
]


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_the_kind_of_a_file_is_read(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path / "t.json")
    loaded = load_tokenizer(tmp_path / "t.json")
    assert type(loaded) is type(tokenizer)
    assert loaded.fingerprint == tokenizer.fingerprint
    assert loaded.encode_batch([TEXT]) == [tokenizer.encode(TEXT)]
    assert (loaded.vocab_size, loaded.eot_id, loaded.unk_id) == (
        tokenizer.vocab_size,
        tokenizer.eot_id,
        tokenizer.unk_id,
    )


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_one_piece_per_token(tokenizer: Tokenizer) -> None:
    assert len(tokenizer.pieces(TEXT)) == len(tokenizer.encode(TEXT))
    assert all(piece.isprintable() for piece in tokenizer.pieces("low é"))


def test_half_a_character_is_shown_by_its_bytes() -> None:
    assert TOKENIZERS[1].pieces("é!") == [r"\xc3", r"\xa9", "!"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ('{"kind": "unigram"}', "of kind 'unigram'; expected bpe"),
        ("[]", "expected a JSON object"),
        ("{", "is not JSON"),
    ],
)
def test_files_of_an_unknown_kind_are_refused(tmp_path: Path, content: str, sentence: str) -> None:
    (tmp_path / "t.json").write_text(content)
    with pytest.raises(BadInput, match=sentence):
        load_tokenizer(tmp_path / "t.json")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="does not exist"):
        load_tokenizer(tmp_path / "t.json")
