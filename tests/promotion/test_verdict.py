"""The gate's decisions on answers whose counts are known, and the yearly error in a small simulation."""

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from groundup.promotion.paired import Documents
from groundup.promotion.verdict import Look, Verdict, decide_bits, decide_classifier, decide_exact_match
from groundup.promotion.vetoes import Cost
from tests.campaigns import gate as campaign
from tests.promotion.settings import GATE, WEEKLY

LOOK = Look(0.0009, GATE)
TRUTH = (np.arange(1000) % 5 == 0).astype(int)


def probabilities(wrong: range, sure: float = 0.9) -> Any:
    """Return probabilities of spam (1000,) that are wrong on the given rows."""
    right = ~np.isin(np.arange(1000), wrong)
    return np.where((TRUTH == 1) == right, sure, 1 - sure)


def decide(champion: Any, challenger: Any, **options: Any) -> Verdict:
    slices = options.pop("slices", {"all": np.ones(1000, bool)})
    verdict = decide_classifier(TRUTH, champion, challenger, slices, options.pop("look", LOOK), **options)
    json.dumps(verdict.numbers, allow_nan=False)
    return verdict


@pytest.mark.parametrize(
    ("champion", "challenger", "outcome", "first", "spent"),
    [
        (range(100), range(60), "promoted", "better", 0.0009),  # 40 wins, no loss
        (range(100), range(60, 121), "undecided", "perhaps better: needs about", 0.0009),  # 60 to 21 is 39
        (range(60), range(100), "kept", "worse on the slice 'all'", 0.0009),
        (range(100), range(100, 200), "kept", "no better than the champion", 0.0009),
        (range(100), range(100), "kept", "no row tells the two models apart", 0.0),
        (range(100), range(98), "undecided", "perhaps better: needs about", 0.0009),
    ],
)
def test_classifier(champion: range, challenger: range, outcome: str, first: str, spent: float) -> None:
    if challenger == range(60, 121):
        champion = range(20, 100)  # 40 wins and 21 losses: p = 0.01, above the level
    verdict = decide(probabilities(champion), probabilities(challenger))
    assert (verdict.outcome, verdict.spent) == (outcome, spent)
    assert verdict.reasons[0].startswith(first)


def test_the_figures_of_a_promotion() -> None:
    verdict = decide(
        probabilities(range(100)),
        probabilities(range(60)),
        look=replace(LOOK, trained_on=7, near_duplicates=3),
    )
    assert verdict.reasons[1].startswith(
        "accuracy 0.9000 -> 0.9400 on 1,000 labelled rows (+0.0400, 95% interval +0.0"
    )
    assert "right on 40 where the champion is wrong, and wrong on 0" in verdict.reasons[1]
    assert verdict.reasons[2].startswith(
        "the smallest gain that these labelled rows show with 90% power is 0.0"
    )
    assert verdict.reasons[3:] == (
        "7 rows were left out: a model was trained on them",
        "3 rows were left out: near duplicates of others",
    )
    numbers = verdict.numbers
    assert (numbers["wins"], numbers["losses"]) == (40, 0)
    assert numbers["left_out"] == {"trained_on": 7, "near_duplicates": 3}
    assert numbers["p_value"] == pytest.approx(2.0**-40)
    assert numbers["low"] < 0.04 < numbers["high"]
    assert numbers["differences"]["mcc"]["low"] > 0
    assert numbers["slices"]["all"]["p_worse"] == 1.0


def test_an_interval_below_the_smallest_gain_keeps_the_champion() -> None:
    gate = replace(GATE, smallest_gain=0.2)
    verdict = decide(probabilities(range(100)), probabilities(range(2, 101)), look=Look(0.0009, gate))
    assert (verdict.outcome, verdict.reasons[0]) == (
        "kept",
        "the gain is below 0.2, the smallest worth having",
    )


def test_a_significant_gain_that_is_too_small_is_kept() -> None:
    """Otherwise rounding errors of a model that was evaluated in another way could replace the champion."""
    n_bytes = np.random.default_rng(1).integers(100, 1000, 200).astype(float)
    verdict = decide_bits(1.5 * n_bytes, (1.5 - 1e-6) * n_bytes, n_bytes, LOOK)
    assert verdict.numbers["p_value"] < 1e-6
    assert (verdict.outcome, verdict.reasons[0]) == (
        "kept",
        "the gain is below 0.002, the smallest worth having",
    )


def test_one_giant_document_does_not_decide() -> None:
    """It has half of all bytes, and the challenger is worse on every other document."""
    n_bytes = np.append(np.full(99, 100.0), 9900.0)
    better = np.where(n_bytes > 100, 0.4, -0.01) * n_bytes
    verdict = decide_bits(1.5 * n_bytes, 1.5 * n_bytes - better, n_bytes, LOOK)
    assert verdict.numbers["gain"] > 0.2 and verdict.outcome == "undecided"


def test_the_rows_that_an_undecided_challenger_needs() -> None:
    """2 wins, no loss of 1,000: 11 to 19 wins decide, so about 10,000 rows in all; two digits are stated."""
    verdict = decide(probabilities(range(100)), probabilities(range(98)))
    assert 6_000 <= verdict.numbers["needed"] <= 10_000
    assert verdict.numbers["needed"] % 100 == 0
    assert f"needs about {verdict.numbers['needed']:,} more labelled rows" in verdict.reasons[0]
    broke = decide(probabilities(range(100)), probabilities(range(98)), look=Look(0.0, GATE))
    assert broke.reasons[0] == "perhaps better, but the error budget of the year is spent"
    right, wrong = np.ones(1200, bool), np.zeros(1200, bool)
    certain = decide_exact_match(wrong, right, {}, Look(0.0, GATE))  # 1,200 wins: the p-value underflows to 0
    assert (certain.numbers["p_value"], certain.outcome) == (0.0, "undecided")


def test_rare_large_losses_need_more_documents() -> None:
    """By Student's t (4.6), 40 of the 100 documents would do; the p-value knows better, and so does the statement."""
    n_bytes, saved = np.full(100, 400.0), np.where(np.arange(100) < 4, -8.0, 2.0)
    verdict = decide_bits(
        1.5 * n_bytes, 1.5 * n_bytes - saved, n_bytes, Look(0.0009, replace(GATE, smallest_bits_gain=0))
    )
    assert verdict.numbers["p_value"] == pytest.approx(0.019, abs=1e-3)
    assert verdict.outcome == "undecided" and 200 < verdict.numbers["needed"] < 500


def test_a_champion_that_no_challenger_can_visibly_beat() -> None:
    """Ten errors: even ten wins without a loss (p = 1/1024) are above the level of 0.0009."""
    verdict = decide(probabilities(range(10)), probabilities(range(0)))
    assert verdict.outcome == "undecided"
    assert verdict.reasons[2].endswith("; a challenger without any error would gain only 0.0100")
    assert decide(probabilities(range(11)), probabilities(range(0))).outcome == "promoted"


def test_a_better_challenger_with_a_worse_slice_is_kept() -> None:
    champion, challenger = probabilities(range(100)), probabilities(range(900, 910))
    slices = {"last": np.arange(1000) >= 900}
    verdict = decide(champion, challenger, slices=slices)
    assert (verdict.outcome, verdict.spent) == ("kept", 0.0009)
    assert verdict.reasons[0].startswith("worse on the slice 'last': right on 0 of its 100 rows")
    assert verdict.numbers["p_value"] < 1e-6


def test_accuracy_without_correlation_is_kept() -> None:
    """130 of 900 hams are repaired and 70 of 100 spams are lost: accuracy rises, Matthews correlation falls."""
    truth = (np.arange(1000) < 100).astype(int)
    champion = np.where((truth == 1) | (np.arange(1000) >= 870), 0.9, 0.1)
    challenger = np.where(np.arange(1000) < 30, 0.9, 0.1)
    verdict = decide_classifier(truth, champion, challenger, {}, LOOK)
    assert verdict.outcome == "kept"
    assert verdict.reasons[0] == "accuracy rises, but Matthews correlation does not (0.6099 -> 0.5276)"


def test_a_worse_calibration_vetoes() -> None:
    champion, challenger = probabilities(range(100)), probabilities(range(60), sure=0.7)
    verdict = decide(champion, challenger)  # of a share of 0.94 right, it is sure to 0.7
    assert verdict.outcome == "kept"
    assert verdict.reasons[0].startswith("calibration error rises by 0.1320")
    lenient = replace(GATE, max_ece_increase=math.inf)
    assert decide(champion, challenger, look=Look(0.0009, lenient)).outcome == "promoted"


@pytest.mark.parametrize(
    ("challenger", "words"),
    [(Cost(0.0016, 10), "its time per answer is 1.60 times"), (Cost(0.001, 16), "its size is 1.60 times")],
)
def test_a_slow_or_big_challenger_is_kept(challenger: Cost, words: str) -> None:
    costs = (Cost(0.001, 10), challenger)
    verdict = decide(probabilities(range(100)), probabilities(range(60)), costs=costs)
    assert verdict.outcome == "kept" and verdict.reasons[0].startswith(words)
    fast = (Cost(0.001, 10), Cost(0.0014, 14))
    assert decide(probabilities(range(100)), probabilities(range(60)), costs=fast).outcome == "promoted"


def test_answers_that_are_not_numbers_never_win() -> None:
    good, broken = probabilities(range(60)), probabilities(range(60))
    broken[3] = math.nan
    for champion in (good, None):
        verdict = decide(champion, broken)
        assert (verdict.outcome, verdict.spent) == ("kept", 0.0)
        assert verdict.reasons == ("some answers of the challenger are not numbers",)
    assert decide(broken, good).reasons == ("some answers of the champion are not numbers",)
    assert decide(broken, good).outcome == "kept"  # nothing is known about the champion: it stays


def test_the_first_champion_must_beat_the_baseline() -> None:
    verdict = decide(None, probabilities(range(60)))
    assert (verdict.outcome, verdict.spent) == ("promoted", 0.0)
    assert verdict.reasons[0] == (
        "there is no champion yet, and accuracy 0.9400 is better than always answering ham (0.8000)"
    )
    assert decide(None, np.full(1000, 0.1)).outcome == "kept"
    assert decide_exact_match(None, np.zeros(9, bool), {}, LOOK).outcome == "kept"
    assert decide_exact_match(None, np.arange(9) < 1, {}, LOOK).outcome == "promoted"
    for nats, outcome in ((2.0, "promoted"), (6.0, "kept"), (math.inf, "kept")):
        assert decide_bits(None, np.full(20, nats), np.ones(20), LOOK).outcome == outcome


def test_without_rows_nothing_is_decided() -> None:
    nothing = np.array([])
    verdict = decide_classifier(nothing, nothing, nothing, {}, replace(LOOK, trained_on=12))
    assert (verdict.outcome, verdict.spent, verdict.numbers["left_out"]["trained_on"]) == (
        "undecided",
        0.0,
        12,
    )
    assert decide_exact_match(nothing, nothing, {}, LOOK).outcome == "undecided"
    assert decide_bits(np.ones(3), np.ones(3), np.ones(3), LOOK).outcome == "undecided"


def conversations(change: float, n: int = 100) -> Documents:
    """Return documents of which the challenger needs more bits per byte, by `change`."""
    rng = np.random.default_rng(1)
    n_bytes = rng.integers(100, 1000, n).astype(float)
    champion = 1.5 * n_bytes
    return Documents(champion, champion + (change + rng.normal(0, 0.01, n)) * math.log(2) * n_bytes, n_bytes)


@pytest.mark.parametrize(
    ("change", "outcome"), [(0.2, "kept"), (0.04, "promoted"), (-0.2, "promoted"), (math.nan, "kept")]
)
def test_exact_match_and_forgotten_conversations(change: float, outcome: str) -> None:
    champion, challenger = np.arange(500) < 300, np.arange(500) < 330
    verdict = decide_exact_match(champion, challenger, {}, LOOK, conversations(change))
    assert verdict.outcome == outcome
    forgotten = "it has forgotten conversations: bits per byte 2.16" in verdict.reasons[0]
    assert forgotten == (change == 0.2)
    json.dumps(verdict.numbers, allow_nan=False)


def test_a_forgotten_family_vetoes() -> None:
    champion, challenger = np.arange(500) < 300, (np.arange(500) >= 20) & (np.arange(500) < 400)
    verdict = decide_exact_match(champion, challenger, {"family sums": np.arange(500) < 25}, LOOK)
    assert verdict.outcome == "kept"
    assert verdict.reasons[0].startswith("worse on the slice 'family sums': right on 0 of its 25 rows")


@pytest.mark.parametrize(
    ("change", "outcome", "first"),
    [
        (-0.02, "promoted", "better"),
        (0.02, "kept", "no better than the champion"),
        (-0.001, "undecided", "perhaps better: needs about"),
    ],
)
def test_bits(change: float, outcome: str, first: str) -> None:
    documents = conversations(change)
    verdict = decide_bits(documents.champion, documents.challenger, documents.n_bytes, LOOK)
    assert verdict.outcome == outcome
    assert verdict.reasons[0].startswith(first)
    assert verdict.reasons[1].startswith("bits per byte 2.1640 -> 2.1")
    same = decide_bits(documents.champion, documents.champion, documents.n_bytes, LOOK)
    assert (same.outcome, same.spent) == ("kept", 0.0)
    json.dumps(verdict.numbers | same.numbers, allow_nan=False)


def test_forty_years(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small version of tests/campaigns/gate.py, whose figures for 1,000 years are in docs/retraining.md."""
    monkeypatch.setattr(campaign, "NEW_ROWS", 0)  # the same number of rows every week, which is quicker
    equal = campaign.equal_years(40, 1, WEEKLY)
    assert equal["low"] <= GATE.yearly_error
    assert sum(equal["looks"].values()) >= 38 * 52
    better = campaign.better_years(40, 1, WEEKLY)
    assert better["share"] >= GATE.power
    worse = campaign.worse_years(20, 1, WEEKLY)
    assert worse["significant"] > 0 and worse["promoted and significant"] == 0
