"""MinHash against sets."""

import random
import resource
from pathlib import Path

import numpy as np
import pytest

from groundup.text.minhash import HASHES, bands, near_links, rows_per_band, signatures
from groundup.text.runs import Joined, save, write_run


def test_signatures_agree_as_much_as_the_sets_overlap() -> None:
    rng = random.Random(1)
    sets = [set(rng.sample(range(60), rng.randint(20, 60))) for _ in range(30)]
    values = {number: rng.getrandbits(64) for number in range(60)}
    hashes = np.array([values[number] for one in sets for number in one], np.uint64)
    owners = np.repeat(np.arange(0, 60, 2), [len(one) for one in sets])  # every other text has no run
    found, numbers = signatures(hashes, owners, 60)
    assert numbers.tolist() == list(range(0, 60, 2))
    errors = []
    for i, left in enumerate(sets):
        for j, right in enumerate(sets[:i]):
            errors.append((found[i] == found[j]).mean() - len(left & right) / len(left | right))
    assert abs(np.mean(errors)) < 0.02
    assert np.std(errors) < 1.2 * (0.25 / HASHES) ** 0.5  # of a mean of HASHES coins
    assert signatures(hashes[:0], owners[:0], 2)[0].shape == (0, HASHES)


@pytest.mark.parametrize(("similarity", "rows"), [(1.0, 128), (0.8, 6), (0.5, 3), (0.01, 1)])
def test_bands_propose_most_pairs_at_the_similarity(similarity: float, rows: int) -> None:
    """The chance that one of b bands of r rows agrees is 1 - (1 - s^r)^b."""
    assert rows_per_band(similarity) == rows
    assert bands(np.zeros((3, HASHES), np.uint32), similarity).shape == (3, HASHES // rows)


def test_equal_bands_have_equal_hashes_only_at_the_same_place() -> None:
    left = np.arange(HASHES, dtype=np.uint32)[None]
    right = left.copy()
    right[0, 7] += 1  # in the second band of 6
    same = bands(left, 0.8)[0] == bands(right, 0.8)[0]
    assert same.tolist() == [place != 1 for place in range(HASHES // 6)]
    assert len(set(bands(np.zeros((1, HASHES), np.uint32), 0.8)[0].tolist())) == HASHES // 6


def test_more_parts_than_a_process_may_open_files(tmp_path: Path) -> None:
    parts = range(60)
    files = {part: tmp_path / f"signatures-{part}.npy" for part in parts}
    for file in files.values():
        save(file, np.arange(HASHES, dtype=np.uint32)[None])
    one_band = (np.array([7], np.uint64), np.zeros(1, np.uint32))
    joined_runs = tuple(write_run(tmp_path / f"run-{part}", part, *one_band) for part in parts)
    save(tmp_path / "alive.npy", np.ones(len(parts), bool))
    joined = Joined(joined_runs, dict(zip(parts, parts, strict=True)), tmp_path / "alive.npy", 0, 2**64)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(path.name) for path in Path("/dev/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 20, hard))
    try:
        links = near_links(files, 0.8, joined)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert sorted(links.tolist()) == [[0, other] for other in parts if other]
