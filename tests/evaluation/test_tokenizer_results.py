from dataclasses import replace

import pytest

from groundup.errors import BadInput
from groundup.evaluation.tokenizer_results import conclusions, table
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
    assert "byte -0.010 (-0.250 to +0.230), not significant" in said
    assert "50% of byte's 256 tokens never occur in the corpus, and 40% of its model" in said
    assert "Not every text comes back with wordpiece" in said
    assert (
        "4 differences are judged at 95%, so about 0.2 of them would count as significant by chance alone"
        in said
    )
    assert "Spam F1, difference from bpe: byte" in said
    assert "busy" not in said


def test_seeds_with_unequal_steps_in_equal_time_are_named_first() -> None:
    rows = {**ROWS, "byte": {**ROWS["byte"], "steps": {"seed_1": 142, "seed_2": 145, "seed_3": 59}}}
    said = conclusions(table(rows, COMPARE), COMPARE)
    assert "The machine was busy" in said[0]
    assert (
        "steps, with byte 59 to 145; small differences from these may be its doing" in said[0]
    )  # of bpe 10 to 11


def test_intervals_of_f1_stay_between_0_and_1() -> None:
    rows = {
        **ROWS,
        "byte": row([2.5, 2.6, 2.7], [0.99, 0.99, 0.80]),
        "gpt2": row([2.5, 2.6, 2.7], [0, 0, 0.1]),
    }
    found = table(rows, COMPARE)
    assert found["byte"]["spam_f1"]["high"] == 1.0 and found["byte"]["spam_f1"]["low"] < 0.8
    assert found["gpt2"]["spam_f1"]["low"] == 0.0


def test_a_reference_that_is_not_there() -> None:
    with pytest.raises(BadInput, match="reference is 'bpe_4k'; expected one of byte, bpe, wordpiece"):
        table(ROWS, replace(COMPARE, reference="bpe_4k"))
