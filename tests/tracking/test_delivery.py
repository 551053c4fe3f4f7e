"""A store that does not answer is asked after pauses that double."""

import pytest

from groundup.tracking import delivery


def test_pauses_double_until_the_store_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(delivery.time, "monotonic", lambda: now)
    found = delivery.Outage()
    asked = []
    for second in range(3600):
        now = 1000.0 + second
        if found.is_over:
            asked.append(second)
            found.began()
    assert asked == [0, 60, 180, 420, 900, 1860]
    assert not found.is_over
    found.try_now()
    assert found.is_over
    found.ended()
    found.began()
    now += 60
    assert found.is_over
