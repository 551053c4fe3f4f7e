import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest

from groundup.errors import BadInput
from groundup.monitoring.drift import TESTS, compare
from groundup.monitoring.samples import Messages, draw
from tests.monitoring.words import BOOTSTRAP, config, messages, sentences


def compared(reference: Messages, window: Messages, **changes: Any) -> dict[str, Any]:
    settings = config(**changes)
    sample = draw(reference.texts, window.texts, (), settings.max_messages, settings.seed)
    return compare(reference.take(sample.reference), window.take(sample.window), settings, BOOTSTRAP)


def alarms(result: dict[str, Any]) -> set[str]:
    return {test["name"] for test in result["tests"] if test["violation"]}


def two(seed: int, n: int = 120, **how: Any) -> tuple[Messages, Messages]:
    """Return two samples of the same messages."""
    rng = np.random.default_rng(seed)
    whole = messages(sentences(2 * n, rng), rng, **how)
    return whole.take(np.arange(n)), whole.take(np.arange(n, 2 * n))


def test_halves_of_the_same_messages_raise_the_alarm_at_the_stated_rate() -> None:
    trials, rate = 60, 0.1
    found = sum(compared(*two(seed), false_alarm_rate=rate, seed=seed)["violation"] for seed in range(trials))
    assert binomtest(found, trials, rate).pvalue > 0.001
    assert found < trials / 3


@pytest.mark.parametrize(
    ("rewrite", "expected"),
    [
        (str.upper, "ngrams"),
        (lambda text: " ".join(text.split()[:3]), "characters"),
        (lambda text: text.replace("a", "ä"), "unknown_share"),
    ],
)
def test_another_style_raises_it_every_time(rewrite: Any, expected: str) -> None:
    for seed in range(5):
        reference, window = two(seed)
        rng = np.random.default_rng(seed)
        result = compared(reference, messages([rewrite(text) for text in window.texts], rng), seed=seed)
        assert expected in alarms(result)


def test_what_only_the_models_see_raises_it() -> None:
    reference, window = two(1)
    unsure = replace(window, spam_probability=0.5 + (window.spam_probability - 0.5) / 10)
    assert "confidence" in alarms(compared(reference, unsure))
    assert {"spam_probability"} <= alarms(
        compared(reference, replace(window, spam_probability=np.full(120, 0.6)))
    )
    assert alarms(compared(reference, replace(window, bits_per_byte=window.bits_per_byte + 1))) == {
        "bits_per_byte"
    }
    moved = replace(window, embeddings=window.embeddings + 3 * (np.arange(8) == 7))
    assert alarms(compared(reference, moved)) == {"embeddings"}


def test_more_errors_are_drift_and_fewer_are_not() -> None:
    reference, window = two(2)
    flipped = replace(window, truth=np.where(np.arange(120) < 60, 1 - window.truth, window.truth))
    worse = compared(reference, flipped)
    assert alarms(worse) == {"errors"}
    accuracy = {side: worse["performance"][side]["accuracy"] for side in ("reference", "window")}
    assert accuracy["window"]["high"] < accuracy["reference"]["low"]
    assert alarms(compared(flipped, window)) == set()


def test_labels_of_some_messages_are_shown_but_not_tested() -> None:
    reference, window = two(3)
    some = replace(window, truth=np.where(np.arange(120) < 10, 1 - window.truth, np.nan))
    result = compared(reference, some)
    assert [test["name"] for test in result["tests"]] == [name for name in TESTS if name != "errors"]
    assert 0 < result["performance"]["labelled"] <= 10
    _, unlabelled = two(3, labelled=False)
    assert compared(reference, unlabelled)["performance"] is None


def test_a_text_that_was_sent_many_times_counts_once() -> None:
    reference, window = two(4)
    rng = np.random.default_rng(4)
    flood = messages(
        [*window.texts, *(f"Win {number} pounds now! {'x' * 200}" for number in range(100))], rng
    )
    assert not compared(reference, flood)["violation"]


def test_the_result_has_no_text_and_can_be_stored() -> None:
    reference, window = two(5)
    result = compared(reference, window)
    stored = json.dumps(result, allow_nan=False)
    words = {word for text in (*reference.texts, *window.texts) for word in text.split() if len(word) > 3}
    assert not [word for word in words if f'{word}"' in stored or f"{word} " in stored]
    for shares in result["distributions"].values():
        assert sum(shares["reference"]) == pytest.approx(1, abs=1e-4)
        assert sum(shares["window"]) == pytest.approx(1, abs=1e-4)
        assert len(shares["edges"]) == len(shares["window"]) + 1


def test_few_messages_are_refused() -> None:
    reference, window = two(6)
    with pytest.raises(
        BadInput, match="the window has 19 messages without near duplicates; expected at least 20"
    ):
        compared(reference, window.take(np.arange(19)))
    with pytest.raises(BadInput, match="the reference has 5 messages"):
        compared(reference.take(np.arange(5)), window)


@pytest.mark.parametrize("column", ["spam_probability", "bits_per_byte", "embeddings"])
def test_scores_that_are_not_numbers_are_refused(column: str) -> None:
    reference, window = two(8)
    values = np.array(getattr(window, column))
    values[3] = np.nan
    with pytest.raises(BadInput, match="some scores of the window are not numbers"):
        compare(reference, replace(window, **{column: values}), config(), BOOTSTRAP)


def test_messages_that_do_not_vary_are_compared(recwarn: pytest.WarningsRecorder) -> None:
    rng = np.random.default_rng(7)
    same = messages(["abc " + "x" * (number + 1) for number in range(60)], rng)
    same = replace(same, embeddings=np.ones((60, 3)), bits_per_byte=np.ones(60))
    result = compared(same.take(np.arange(0, 60, 2)), same.take(np.arange(1, 60, 2)))
    p = {test["name"]: test["p"] for test in result["tests"]}
    assert p["bits_per_byte"] == 1 == p["unknown_share"]
    assert not result["violation"] and not recwarn
