import pytest

from groundup.errors import BadInput
from groundup.tokenizers.bpe import BPETokenizer
from groundup.tokenizers.characters import CharacterTokenizer
from groundup.tokenizers.measures import encode_megabytes_per_second, text_measures

BYTES = BPETokenizer.train(["low"], 257)


def test_by_hand() -> None:
    # 5 + 3 bytes in 4 + 3 characters, of which é is unknown to who has read "low "; 3 words
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


def test_speed_is_bytes_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 9.0, 10.0, 12.0, 20.0, 21.0, 30.0, 32.0, 40.0, 44.0, 50.0, 52.0])  # 9 s is the warm-up
    monkeypatch.setattr("groundup.tokenizers.measures.time.perf_counter", lambda: next(times))
    assert encode_megabytes_per_second(BYTES, ["a" * 4000, "é" * 1000]) == pytest.approx(0.006 / 2)


@pytest.mark.parametrize("texts", [[], ["", " "]])
def test_nothing_to_cut(texts: list[str]) -> None:
    with pytest.raises(BadInput, match=r"hold 0 words and . tokens; expected some of both"):
        text_measures(BYTES, texts)
