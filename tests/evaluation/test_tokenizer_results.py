from dataclasses import replace

import pytest

from groundup.errors import BadInput
from groundup.evaluation.tokenizer_results import learned, table
from groundup.tokenizers.bpe import BPETokenizer
from groundup.tokenizers.loading import Tokenizer
from groundup.tokenizers.vocabularies import first_merges
from tests.pipelines.study.tokenizers import COMPARE, row

ROWS = {
    "byte": row([2.5, 2.6, 2.7], [0.80, 0.90, 0.70], bytes_per_token=1.0, never_used=0.5, vocab_size=256),
    "bpe": row([2.0, 2.1, 2.2], [0.85, 0.80, 0.78]),
    "wordpiece": row([1.5, 1.6, 1.8], [0.95, 0.91, 0.88], restored=0.25),
}


def test_differences_are_paired_by_seed() -> None:
    found = table(ROWS, COMPARE)
    # the difference is +0.5 for every seed, although the seeds differ: no spread is left
    gap = found["byte"]["difference"]["val_bpb"]
    assert (gap["mean"], gap["low"], gap["high"]) == (0.5, 0.5, 0.5)
    assert gap["significant"]
    # differences -0.05, +0.10, -0.08: mean -0.01, s 0.0964, t(2, 0.975) 4.303, half width 0.2396
    gap = found["byte"]["difference"]["spam_f1"]
    assert gap["mean"] == pytest.approx(-0.01, abs=1e-6)
    assert gap["high"] == pytest.approx(0.2296, abs=1e-3)
    assert not gap["significant"]
    assert found["bpe"]["difference"] == {}


def test_columns() -> None:
    found = table(ROWS, COMPARE)
    assert found["byte"]["val_bpb"]["mean"] == 2.6
    assert found["bpe"]["comparable"]
    assert not found["wordpiece"]["comparable"]
    assert "merges" not in found["bpe"]
    assert found["bpe"]["embedding_parameters"] == 400


def test_intervals_of_f1_stay_between_0_and_1() -> None:
    rows = {
        **ROWS,
        "byte": row([2.5, 2.6, 2.7], [0.99, 0.99, 0.80]),
        "gpt2": row([2.5, 2.6, 2.7], [0, 0, 0.1]),
    }
    found = table(rows, COMPARE)
    assert found["byte"]["spam_f1"]["high"] == 1.0 and found["byte"]["spam_f1"]["low"] < 0.8
    assert found["gpt2"]["spam_f1"]["low"] == 0.0


def test_an_unknown_reference() -> None:
    with pytest.raises(BadInput, match="reference is 'bpe_4k'; expected one of byte, bpe, wordpiece"):
        table(ROWS, replace(COMPARE, reference="bpe_4k"))


def test_how_the_largest_of_each_kind_learned_to_split_the_sentence() -> None:
    texts = ["low low lower lowest", "new newer newest"]
    tokenizers: dict[str, Tokenizer] = {
        name: BPETokenizer.train(texts, size)
        for name, size in (("small", 259), ("large", 264), ("byte", 257))
    }
    vocabularies = {
        name: {"vocab_size": tokenizer.vocab_size, "merges": first_merges(tokenizer, 3)}
        for name, tokenizer in tokenizers.items()
    }
    found = learned(vocabularies, tokenizers, replace(COMPARE, sentence="low", steps=(0, 1)))
    assert found["wordpiece"] is None
    assert found["bpe"] is not None and found["bpe"]["name"] == "large"
    assert found["bpe"]["merges"] == vocabularies["large"]["merges"]
    [none, first], joined = found["bpe"]["steps"], vocabularies["large"]["merges"][0]
    assert none == [0, ["l", "o", "w"]]
    assert first[0] == 1 and "".join(first[1]) == "low"
    assert len(first[1]) == (2 if joined["piece"] in "low" else 3)
    scored = {"small": {"vocab_size": 3, "merges": [{"score": 1.0}]}}
    assert learned(scored, tokenizers, COMPARE)["bpe"] is None
