import pytest

from groundup.datasets.subsets import nested_subset, sample_families
from groundup.errors import BadInput

LABELS = ["ham"] * 87 + ["spam"] * 13


@pytest.mark.parametrize("seed", range(5))
def test_subsets_are_nested_and_keep_the_proportion(seed: int) -> None:
    smaller: set[int] = set()
    for size in (10, 20, 50, 100):
        chosen = nested_subset(LABELS, size, seed)
        assert len(chosen) == len(set(chosen)) == size
        assert chosen == sorted(chosen)
        assert smaller <= set(chosen)
        spam = sum(LABELS[i] == "spam" for i in chosen)
        assert abs(spam - 0.13 * size) <= 1
        smaller = set(chosen)


def test_the_seed_decides() -> None:
    assert nested_subset(LABELS, 20, 1) == nested_subset(LABELS, 20, 1)
    assert nested_subset(LABELS, 20, 1) != nested_subset(LABELS, 20, 2)
    assert nested_subset(LABELS, None, 1) == list(range(100))


def test_too_many_and_too_few() -> None:
    with pytest.raises(BadInput, match=r"there are 100 examples; expected at least 101"):
        nested_subset(LABELS, 101, 1)
    with pytest.raises(BadInput, match=r"subset of 2 of 100 examples has none of the labels \['spam'\]"):
        nested_subset(LABELS, 2, 1)


def test_rows_are_sampled_by_family() -> None:
    rows = [{"family": label, "id": number} for number, label in enumerate(LABELS)]
    assert sample_families(rows, 20, 1) == [rows[i] for i in nested_subset(LABELS, 20, 1)]
    assert sample_families(rows, None, 1) == rows
