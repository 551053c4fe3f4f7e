"""Leaving out words; the oracle classifies the texts that are left, one by one."""

from math import log

import pytest

from groundup.errors import BadInput
from groundup.tasks.classification import spam_probabilities
from groundup.tasks.leave_one_out import leave_one_out, log_odds
from tests.cli.chat_model import chat_checkpoint
from tests.serving.running import classifier_checkpoint


def odds(p: float) -> float:
    return log(p / (1 - p))


def test_each_word_contributes_what_is_lost_without_it() -> None:
    spam = classifier_checkpoint()
    text = " tea,  and\ncake "
    without = [" and\ncake ", " tea,  cake ", " tea,  and\n"]
    whole, words = leave_one_out(spam, text)
    [expected, *left] = [spam_probabilities(spam, [each])[0] for each in (text, *without)]
    assert whole == pytest.approx(expected)
    assert [(word.word, word.start) for word in words] == [("tea,", 1), ("and", 7), ("cake", 11)]
    assert [word.probability for word in words] == pytest.approx(left)
    assert [word.contribution for word in words] == pytest.approx(
        [odds(whole) - odds(p) for p in left], abs=1e-4
    )


def test_the_other_class_gets_the_opposite() -> None:
    spam = classifier_checkpoint()
    p, words = leave_one_out(spam, "tea and cake", "spam")
    q, others = leave_one_out(spam, "tea and cake", "ham")
    assert p + q == pytest.approx(1)
    assert [w.contribution for w in words] == pytest.approx([-w.contribution for w in others])


def test_log_odds_stay_finite_and_exact_near_certainty() -> None:
    assert log_odds([1e-12, 1.0], 1) == pytest.approx(log(1e12))
    assert log_odds([0.0, 1.0], 1) == -log_odds([1.0, 0.0], 1) < 100


def test_what_cannot_be_explained_is_refused() -> None:
    with pytest.raises(BadInput, match="0 words"):
        leave_one_out(classifier_checkpoint(), "  ")
    with pytest.raises(BadInput, match="3 words; expected at least 1 and at most 2"):
        leave_one_out(classifier_checkpoint(), "a b c", most_words=2)
    with pytest.raises(BadInput, match="expected a classifier"):
        leave_one_out(chat_checkpoint(), "tea")
