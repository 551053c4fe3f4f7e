"""Places of computation against a plain loop."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from groundup.errors import BadInput
from groundup.parallel.cluster import DaskConfig, ProcessesConfig, map_parts, threads_per_part


def square(part: int) -> int:
    if part == 40:
        raise BadInput("40 is too much")
    return part * part


def fatal(folder: Path, times: int, part: int) -> int:
    """Kill the process that computes part 3, so often."""
    if part == 3 and (n := len(list(folder.iterdir()))) < times:
        (folder / str(n)).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return part


def slow_after(last: int, part: int) -> int:
    """Take for ever with the parts after the `last`."""
    if part > last:
        threading.Event().wait(600)
    return part


@pytest.fixture(params=["one", "two", "dask"])
def place(request: pytest.FixtureRequest) -> ProcessesConfig | DaskConfig:
    if request.param == "dask":
        return DaskConfig("dask", request.getfixturevalue("dask_address"), 20, 16)
    return ProcessesConfig("processes", 1 if request.param == "one" else 2, 16)


def test_every_place_gives_what_a_loop_gives(place: ProcessesConfig | DaskConfig) -> None:
    assert list(map_parts(square, range(40), place)) == [part * part for part in range(40)]
    with pytest.raises(BadInput, match="40 is too much"):
        list(map_parts(square, range(50), place))


def test_a_part_whose_worker_died_is_computed_again(
    tmp_path_factory: pytest.TempPathFactory, own_dask: Callable[[], Any]
) -> None:
    place, folder = (
        DaskConfig("dask", own_dask().scheduler_address, 20, 16),
        tmp_path_factory.mktemp("killed"),
    )
    assert list(map_parts(partial(fatal, folder, 1), range(8), place)) == list(range(8))
    with pytest.raises(BadInput, match="died repeatedly at the same part"):
        list(map_parts(partial(fatal, folder, 99), range(8), place))


def test_a_cluster_that_has_lost_its_workers_is_not_waited_for(own_dask: Callable[..., Any]) -> None:
    cluster = own_dask(n_workers=1)
    found = map_parts(
        partial(slow_after, 1), range(8), DaskConfig("dask", cluster.scheduler_address, 0.5, 16)
    )
    assert next(found) == 0
    cluster.scale(0)
    with pytest.raises(BadInput, match="has lost all its workers"):
        list(found)


def test_no_core_gets_more_than_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("groundup.parallel.cluster.usable_cores", lambda: 16)
    assert threads_per_part(DaskConfig("dask", "tcp://127.0.0.1:1", 1, 16), 100) == 1
    for processes, parts, threads in (
        (None, 100, 1),
        (None, 2, 16),
        (1, 100, 16),
        (4, 100, 4),
        (4, 3, 16),
        (20, 100, 1),
    ):
        assert threads_per_part(ProcessesConfig("processes", processes, 16), parts) == threads


def test_the_scheduler_may_be_absent_idle_or_not_installed(
    own_dask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for address in ("tcp://127.0.0.1:9", "nonsense://x"):
        with pytest.raises(BadInput, match=rf"no Dask scheduler answered at {address} within 0\.5 seconds"):
            list(map_parts(square, range(4), DaskConfig("dask", address, 0.5, 16)))
    idle = own_dask(n_workers=0).scheduler_address
    with pytest.raises(BadInput, match=r"had no worker within 0\.5 seconds"):
        list(map_parts(square, range(4), DaskConfig("dask", idle, 0.5, 16)))
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(BadInput, match=r"pip install 'groundup\[cluster\]'"):
        list(map_parts(square, range(4), DaskConfig("dask", idle, 0.5, 16)))
