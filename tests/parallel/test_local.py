"""Processes and threads against a plain loop."""

import os
from collections.abc import Iterator
from functools import partial

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.errors import BadInput
from groundup.parallel.local import AHEAD, FEW_PARTS, in_parts, map_in_processes, map_in_threads
from groundup.tokenizers.pretokenization import count_part

OTHERS: set[int] = set()  # processes that other tests left
MANY = 4 * FEW_PARTS
PARTS = [[f"part {i} of many"] * (i % 3) for i in range(MANY)]


@pytest.fixture(autouse=True)
def others() -> None:
    OTHERS.clear()
    OTHERS.update(child.pid for child in psutil.Process().children())


def own_children() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if child.pid not in OTHERS]


@given(st.lists(st.text(max_size=9)), st.integers(1, 20))
def test_parts_are_the_texts_in_order(texts: list[str], n_chars: int) -> None:
    parts = list(in_parts(texts, n_chars))
    assert [text for part in parts for text in part] == texts
    sizes = [sum(map(len, part)) for part in parts]
    assert all(size >= n_chars for size in sizes[:-1])
    assert all(sum(map(len, part[:-1])) < n_chars for part in parts)


@pytest.mark.parametrize("n_processes", [1, 2, 3])
def test_processes_give_what_a_loop_gives(n_processes: int) -> None:
    count = partial(count_part, pattern="gpt2")
    assert list(map_in_processes(count, PARTS, n_processes)) == [count(part) for part in PARTS]
    assert not own_children()


def getpid(part: int) -> int:
    return os.getpid()


def test_few_parts_start_no_process() -> None:
    assert set(map_in_processes(getpid, range(FEW_PARTS), 2)) == {os.getpid()}


@pytest.mark.parametrize("n_processes", [1, 2])
def test_an_error_in_a_process_is_raised_here(n_processes: int) -> None:
    parts = [*PARTS, ["half \ud83d"], *PARTS]
    with pytest.raises(BadInput, match="half a surrogate pair"):
        list(map_in_processes(partial(count_part, pattern="gpt2"), parts, n_processes))
    assert not own_children()


def test_a_process_that_dies() -> None:
    parts = [os.getpid()] * MANY
    with pytest.raises(BadInput, match=r"ended early \(exit status 9"):
        list(map_in_processes(die_elsewhere, parts, 2))
    assert not own_children()


def die_elsewhere(first_process: int) -> None:
    if os.getpid() != first_process:
        os._exit(9)
    # leaves parts for the other process
    for child in own_children():
        child.wait()


def test_an_interrupt_leaves_no_process() -> None:
    def interrupted() -> Iterator[list[str]]:
        yield from PARTS
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(map_in_processes(partial(count_part, pattern="gpt2"), interrupted(), 2))
    assert not own_children()


def test_threads_give_what_a_loop_gives() -> None:
    assert list(map_in_threads(str, range(100), 3)) == [str(i) for i in range(100)]


def test_only_a_few_parts_are_read_ahead() -> None:
    read = []

    def parts() -> Iterator[int]:
        for i in range(100):
            read.append(i)
            yield i

    results = map_in_threads(str, parts(), 2)
    next(results)
    assert len(read) == 2 * AHEAD + 1
    results.close()
