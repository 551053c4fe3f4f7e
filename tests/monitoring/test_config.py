from typing import Any

import pytest

from groundup.monitoring.config import PolicyConfig
from tests.monitoring.words import config


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cron": "daily"}, "cron is 'daily'"),
        ({"timezone": "Mars/Base"}, "timezone is 'Mars/Base'"),
        ({"max_messages": 19}, "max_messages is 19; expected at least min_messages, 20"),
        ({"false_alarm_rate": 0.01}, "permutations is 99; a false_alarm_rate of 0.01 needs at least 999"),
    ],
)
def test_values_that_contradict_each_other_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        config(**changes)


def test_a_policy_that_can_never_fire_is_refused() -> None:
    with pytest.raises(ValueError, match="violations is 3; expected at most windows, 2"):
        PolicyConfig(violations=3, windows=2)
