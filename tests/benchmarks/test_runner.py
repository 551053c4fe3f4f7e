"""The runner of the benchmarks: order of turns, medians and ratios on hand-made turns; nothing is timed."""

import importlib
import io
import json

import pytest

from tests.benchmarks.__main__ import chosen
from tests.benchmarks.child import Stopwatch
from tests.benchmarks.runner import Goal, Limit, figures, interleave, judge, spread, times_as_fast


class Scripted:
    """A player whose turns are known."""

    def __init__(self, name: str, seconds: list[float], order: list[str]) -> None:
        self.name, self.seconds, self.order = name, iter(seconds), order

    def turn(self) -> dict[str, float]:
        self.order.append(self.name)
        return {"amount": 12.0, "seconds": next(self.seconds), "latency": 1.0}


def test_turns_alternate_and_ratios_are_those_within_a_round() -> None:
    order: list[str] = []
    seen: list[str] = []
    # the second round is twice as slow for both
    players = {"peer": Scripted("peer", [4, 8, 6], order), "own": Scripted("own", [2, 4, 2], order)}
    turns = interleave(players, 3, seen.append)
    assert order == seen == ["peer", "own", "own", "peer", "peer", "own"]
    peer, own = (figures(turns[name], "tokens/s") for name in ("peer", "own"))
    assert peer == {"speed": [3.0, 1.5, 2.0], "latency": [1.0, 1.0, 1.0]}
    assert spread(own["speed"]) == {"median": 6.0, "low": 3.0, "high": 6.0}
    assert times_as_fast(own["speed"], peer["speed"], "tokens/s") == {"median": 2.0, "low": 2.0, "high": 3.0}
    seconds = {name: figures(of, "s")["speed"] for name, of in turns.items()}
    assert seconds["own"] == [2 / 12, 4 / 12, 2 / 12]
    assert times_as_fast(seconds["own"], seconds["peer"], "s")["median"] == pytest.approx(2.0)


def test_goals_are_judged_by_medians() -> None:
    measured = {
        "own": {"speed": [6.0, 3.0, 6.0], "overhead": [2.0, 4.0, 3.0]},
        "peer": {"speed": [3.0, 1.5, 2.0]},
    }
    # nanoGPT is 1.25 times as fast as the peer, so 2, 2, 3 times the peer are 1.6, 1.6, 2.4 times nanoGPT
    verdict = judge(Goal("own", "peer", 1.5, "nanoGPT", factor=1.25), measured, "tokens/s")
    assert verdict["reached"] == {"median": 1.6, "low": 1.6, "high": pytest.approx(2.4)} and verdict["met"]
    assert not judge(Goal("own", "peer", 1.7, "nanoGPT", factor=1.25), measured, "tokens/s")["met"]
    assert judge(Limit("own", "overhead", 3.0, at_most=True), measured, "tokens/s")["met"]
    assert not judge(Limit("own", "overhead", 2.9, at_most=True), measured, "tokens/s")["met"]
    absent = judge(Goal("own", "llama.cpp", 1.0, "llama.cpp"), measured, "tokens/s")
    assert absent["reached"] is None and not absent["met"]


def test_a_stopwatch_counts_until_the_turn_is_long_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 5.0, 6.0, 10.0, 11.0, 12.5, 20.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(now))
    reports = io.StringIO()
    watch = Stopwatch(2.0, 1, io.StringIO("go\ngo\n"), reports)
    watch(3)  # long enough, but a single call is no warm-up
    watch(3)  # 6 s after the start: the warm-up is reported, and the first turn begins at 10
    watch(4)  # 1 s: the turn goes on
    watch(4, latency=0.5)
    warm_up, turn = map(json.loads, reports.getvalue().splitlines())
    assert warm_up == {"amount": 6, "seconds": 6.0}
    assert turn == {"amount": 8, "seconds": 2.5, "latency": 0.5}


def test_rows_have_unique_names_and_their_functions_exist() -> None:
    rows = [row for of in chosen([]).values() for row in of]
    assert len({row.name for row in rows}) == len(rows)
    for row in rows:
        names = [contender.name for contender in row.contenders]
        assert len({*names}) == len(names)
        for contender in row.contenders:
            module, _, function = contender.function.rpartition(".")
            assert callable(getattr(importlib.import_module(module), function))
            json.dumps(dict(contender.arguments))
        for goal in row.goals:
            assert goal.contender in names and getattr(goal, "against", names[0]) in names
