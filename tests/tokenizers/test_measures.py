from collections.abc import Sequence
from pathlib import Path

import pytest

from groundup.errors import BadInput
from groundup.tokenizers.bpe import BPETokenizer
from groundup.tokenizers.characters import CharacterTokenizer
from groundup.tokenizers.measures import REPETITIONS, encode_megabytes_per_second, text_measures
from groundup.tokenizers.normalization import Normalization
from groundup.tokenizers.wordpiece import WordPieceConfig, WordPieceTokenizer, WordRules

BYTES = BPETokenizer.train(["low"], 257)


def test_by_hand() -> None:
    # 5 + 3 bytes in 4 + 3 characters, of which é is not in the training text "low "; 3 words
    characters = CharacterTokenizer.train(["low "])
    assert text_measures(characters, ["lo é", "low"]) == {
        "bytes_per_token": 8 / 7,
        "unknown": 1 / 7,
        "fertility": 7 / 3,
        "restored": 1 / 2,
    }
    assert text_measures(BYTES, ["lo é", "low"]) == {
        "bytes_per_token": 1.0,
        "unknown": 0.0,
        "fertility": 8 / 3,
        "restored": 1.0,
    }


def test_speed_is_bytes_per_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    BYTES.save(tmp_path / "bytes.json")
    times = iter([0.0, 9.0, 10.0, 12.0, 20.0, 21.0, 30.0, 32.0, 40.0, 42.0])
    monkeypatch.setattr("groundup.tokenizers.measures.time.perf_counter", lambda: next(times))
    texts = ["a" * 4000, "é" * 1000]
    assert encode_megabytes_per_second(tmp_path / "bytes.json", texts) == pytest.approx(0.006 / 2)


def test_every_repetition_is_cold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = WordRules(Normalization(True, True, False, False), "bert", 12)
    config = WordPieceConfig("wordpiece", 20, rules, alphabet_limit=9, min_pair_count=1)
    WordPieceTokenizer.train(["low lower"], config).save(tmp_path / "pieces.json")
    asked: list[str] = []
    encode = WordPieceTokenizer.encode

    def listen(tokenizer: WordPieceTokenizer, text: str) -> Sequence[int]:
        asked.append(text)
        return encode(tokenizer, text)

    monkeypatch.setattr(WordPieceTokenizer, "encode", listen)
    encode_megabytes_per_second(tmp_path / "pieces.json", ["low lower low"])
    assert asked == ["low", "lower"] * REPETITIONS  # each word once per repetition


@pytest.mark.parametrize("texts", [[], ["", " "]])
def test_nothing_to_cut(texts: list[str]) -> None:
    with pytest.raises(BadInput, match=r"have 0 words and . tokens; expected at least one of each"):
        text_measures(BYTES, texts)
