"""Runs against dictionaries and sets."""

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.text import runs
from groundup.text.runs import links, merge, ranges, repeats, save, write_run

SHARES = st.lists(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 6)), max_size=12), max_size=4)


@given(SHARES, st.integers(1, 4), st.sets(st.integers(0, 27)))
def test_groups_are_the_connected_documents(
    tmp_path_factory: pytest.TempPathFactory,
    shares: list[list[tuple[int, int]]],
    n_ranges: int,
    dead: set[int],
) -> None:
    """Part i has 7 documents; a pair (hash, document) of it says that the document has the hash."""
    folder = tmp_path_factory.mktemp("runs")
    size = 7 * len(shares)
    alive = np.array([number not in dead for number in range(size)], dtype=bool)
    save(folder / "alive.npy", alive)
    scale = np.uint64(2**64 // 10)  # spread the hashes over all ranges
    written = []
    for part, pairs in enumerate(shares):
        hashes, documents = np.array(pairs, dtype=np.uint64).reshape(-1, 2).T
        written.append(write_run(folder / f"run{part}", part, hashes * scale, documents))
    memory = max(1, sum(map(len, shares)) * runs.PAIR_BYTES // n_ranges)
    groups = np.arange(size)
    for joined in ranges(
        written, {part: 7 * part for part in range(len(shares))}, folder / "alive.npy", memory
    ):
        groups = merge(groups, links(joined))

    owners = defaultdict(set)
    for part, pairs in enumerate(shares):
        for value, document in pairs:
            if alive[7 * part + document]:
                owners[value].add(7 * part + document)
    expected = list(range(size))
    for _ in expected:
        for together in owners.values():
            for number in together:
                expected[number] = min(expected[other] for other in together)
    assert groups.tolist() == expected


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2))))
def test_repeats_are_rows_seen_before(rows: list[tuple[int, int]]) -> None:
    columns = np.array(rows, dtype=np.uint64).reshape(-1, 2).T
    assert repeats(*columns).tolist() == [row in rows[:i] for i, row in enumerate(rows)]


def test_a_run_keeps_all_pairs(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", 3, np.array([5, 1, 5], np.uint64), np.array([0, 1, 2]))
    assert (run.part, run.pairs) == (3, 3)
    save(tmp_path / "alive", np.ones(9, bool))
    [joined] = ranges([run], {3: 6}, tmp_path / "alive", 10**6)
    hashes, documents = runs.load(joined)
    assert (hashes.tolist(), documents.tolist()) == ([1, 5, 5], [7, 6, 8])
