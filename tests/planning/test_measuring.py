"""Work in a child process, and the mean of its times."""

import pickle
from dataclasses import replace
from functools import partial

import pytest

from groundup.errors import BadInput
from groundup.planning import probe
from groundup.planning.measuring import in_child, middle_mean
from groundup.planning.probe import Cost
from tests.pipelines.prepared import MODEL
from tests.planning.tiny_facts import FACTS
from tests.tiny import CPU, EVALUATE


def test_a_child_returns_its_cost_or_its_error() -> None:
    cost = in_child(partial(probe.answering, MODEL, EVALUATE, CPU, FACTS), "evaluate")
    assert pickle.loads(pickle.dumps(cost)) == cost
    assert cost.memory < 2e9
    wrong = partial(probe.answering, replace(MODEL, n_head=3), EVALUATE, CPU, FACTS)
    with pytest.raises(BadInput, match="expected n_embd to be a multiple of n_head"):
        in_child(wrong, "evaluate")


def test_a_child_that_is_killed_is_explained() -> None:
    with pytest.raises(BadInput, match="the probe of pretrain was killed, probably because"):
        in_child(die, "pretrain")


def test_a_slow_step_counts_and_a_disturbed_second_does_not() -> None:
    assert middle_mean([2.0] * 90) == 2.0
    assert middle_mean(([1.0] * 9 + [2.0]) * 9) == pytest.approx(1.1)
    assert middle_mean([1.0] * 70 + [9.0] * 20) == 1.0
    assert middle_mean([3.0]) == 3.0


def die() -> Cost:
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError
