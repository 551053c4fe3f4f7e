from dataclasses import replace

import pytest

from groundup.errors import BadInput
from groundup.evaluation.tokenizer_results import conclusions, interval, signed, table
from tests.pipelines.study.tokenizers import COMPARE, row

ROWS = {
    "byte": row([2.5, 2.6, 2.7], [0.80, 0.90, 0.70], bytes_per_token=1.0, never_used=0.5, vocab_size=256),
    "bpe": row([2.0, 2.1, 2.2], [0.85, 0.80, 0.78]),
    "wordpiece": row([1.5, 1.6, 1.8], [0.95, 0.91, 0.88], restored=0.25),
}


def test_differences_are_paired_by_seed() -> None:
    found = table(ROWS, COMPARE)
    # Every seed says +0.5, however far the seeds lie apart: no spread is left.
    gap = found["byte"]["difference"]["val_bpb"]
    assert (gap["mean"], gap["low"], gap["high"]) == (0.5, 0.5, 0.5)
    assert gap["significant"]
    # -0.05, +0.10, -0.08: mean -0.01, s 0.0964, t(2, 0.975) 4.303: reach 0.2396
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


def test_conclusions_follow_the_intervals() -> None:
    said = "\n".join(conclusions(table(ROWS, COMPARE), COMPARE))
    assert "bpe predicts best after equal time: 2.100" in said  # not wordpiece, whose text has lost something
    assert "byte +0.500 (+0.500 to +0.500);" in said
    assert "of a text that has lost something" in said
    assert "byte -0.010 (-0.250 to +0.230), no more than chance" in said
    assert "50% of byte's 256 tokens never occur in the corpus, and 40% of its model" in said
    assert "Not every text comes back with wordpiece" in said
    assert "4 differences are judged at 95%, so about 0.2" in said


def test_a_reference_that_is_not_there() -> None:
    with pytest.raises(BadInput, match="reference is 'bpe_4k'; expected one of byte, bpe, wordpiece"):
        table(ROWS, replace(COMPARE, reference="bpe_4k"))


def test_numbers_as_text() -> None:
    entry = {"mean": 0.1234, "low": -0.05, "high": 0.3}
    assert interval(entry, 2) == "0.12 (-0.05–0.30)"
    assert signed(entry, 2) == "+0.12 (-0.05 to +0.30)"
