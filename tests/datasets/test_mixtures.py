"""Mixtures: counts against an exhaustive search, and rows that depend on nothing but name and content."""

from fractions import Fraction
from itertools import product
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from groundup.datasets.catalogue import DataConfig, Dataset, Expect, datasets_for, mixture
from groundup.datasets.mixtures import Source, mix, nested_subset, row_counts, sample_families
from groundup.errors import BadInput
from groundup.text.jsonl import read_jsonl, write_jsonl


@pytest.mark.parametrize("sizes", [(12, 7, 30), (10, 10, 10), (8, 9, 5)])
@pytest.mark.parametrize("weights", [(1, 1, 1), (0.7, 0.2, 0.1), (3, 1, 2.5), (0.1, 0.1, 0.3)])
def test_counts_are_the_largest_within_one_row_of_the_shares(
    sizes: tuple[int, ...], weights: tuple[float, ...]
) -> None:
    """Of all choices of counts, the largest whose exact shares fit, and then the closest to the shares."""
    names = "abc"
    exact = [Fraction(str(weight)) for weight in weights]
    shares = [weight / sum(exact) for weight in exact]
    largest = max(
        n
        for n in range(sum(sizes) + 1)
        if all(n * share <= size for share, size in zip(shares, sizes, strict=True))
    )
    choices = [c for c in product(*(range(size + 1) for size in sizes)) if sum(c) == largest]
    error = {c: sum((k - largest * share) ** 2 for k, share in zip(c, shares, strict=True)) for c in choices}
    found = row_counts(dict(zip(names, sizes, strict=True)), dict(zip(names, weights, strict=True)))
    counts = tuple(found[name] for name in names)
    assert error[counts] == min(error.values())
    assert all(abs(k - largest * share) < 1 for k, share in zip(counts, shares, strict=True))


def files(folder: Path, **sizes: int) -> dict[str, Path]:
    for name, size in sizes.items():
        write_jsonl(
            folder / f"{name}.jsonl", ({"id": f"row-{n}", "text": f"{name} {n}"} for n in range(size))
        )
    return {name: folder / f"{name}.jsonl" for name in sizes}


def test_rows_keep_their_order_and_a_smaller_choice_is_part_of_a_larger_one(tmp_path: Path) -> None:
    sources = files(tmp_path, talk=20, book=10)
    assert mix(sources, {"talk": 0.25, "book": 0.75}, tmp_path / "few") == {"talk": 3, "book": 10}
    assert mix(sources, {"talk": 1, "book": 1}, tmp_path / "many") == {"talk": 10, "book": 10}
    few, many = (read_jsonl(tmp_path / name) for name in ("few", "many"))
    numbers = [int(row["text"].split()[1]) for row in many if row["id"].startswith("talk/")]
    assert numbers == sorted(numbers) and numbers != list(range(10))
    assert all(row in many for row in few) and len(few) == 13
    again = files(tmp_path / "again", talk=20, book=10)
    mix(again, {"talk": 0.25, "book": 0.75}, tmp_path / "again.jsonl")
    assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "few").read_bytes()


def test_without_weights_every_row_is_used(tmp_path: Path) -> None:
    assert mix(files(tmp_path, talk=3, book=2), None, tmp_path / "all") == {"talk": 3, "book": 2}
    assert [row["id"] for row in read_jsonl(tmp_path / "all")] == [
        "talk/row-0", "talk/row-1", "talk/row-2", "book/row-0", "book/row-1"
    ]  # fmt: skip


def test_a_dataset_without_rows_in_the_mixture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="3 rows can be mixed without repeating one, and b has none"):
        row_counts({"a": 3, "b": 100}, {"a": 100, "b": 1})


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ([{"dataset": "a"}, {"dataset": "a"}], "data.spam names a twice; expected each dataset once"),
        ([], "data.spam names no dataset"),
        (
            [{"dataset": "a", "weight": 1}, {"dataset": "b"}],
            "data.spam has no weight for b; expected one for all",
        ),
        ([{"dataset": "a", "weight": 0}], "greater than 0"),
        ([{"dataset": "a", "share": 1}], "Unexpected keyword argument"),
    ],
)
def test_values_that_cannot_be_mixed(sources: list[dict[str, object]], message: str) -> None:
    values = {"catalogue": "c", "pretraining": "p", "spam": sources, "instructions": "i"}
    with pytest.raises(ValidationError, match=message):
        TypeAdapter(DataConfig).validate_python(values)


def test_what_may_be_expected_of_a_mixture() -> None:
    def dataset(name: str, expect: Expect | None) -> Dataset:
        return Dataset(name, "spam", f"The {name}", f"licence of {name}", f"By {name}.", expect=expect)

    one = dataset("one", Expect((10, 20), (1, 50), 0.1, (0.1, 0.2)))
    two = dataset("two", Expect((5, 5), (3, 80), 0.0, (0.4, 0.5)))
    assert mixture({one: None}) is one
    whole = mixture({one: None, two: None})
    assert (whole.name, whole.licence) == ("one + two", "licence of one; licence of two")
    assert whole.expect == Expect((15, 25), (1, 80), 0.1, (0.1, 0.5))
    assert mixture({one: 1.0, two: 2.0}).expect == Expect((1, 25), (1, 80), 0.1)
    assert mixture({one: None, dataset("three", None): None}).expect is None

    data = DataConfig(Path("c"), "p", (Source("one", 1.0), Source("two", 2.0)), "i")
    assert datasets_for("spam", data, {"one": one, "two": two}) == {one: 1.0, two: 2.0}


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
