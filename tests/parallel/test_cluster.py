"""Places of computation against a plain loop."""

import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from groundup.errors import BadInput
from groundup.parallel.cluster import DaskConfig, ProcessesConfig, map_parts


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
