import string
from dataclasses import replace

import pytest

from groundup.datasets import verses
from groundup.datasets.verses import (
    VersesConfig,
    align,
    chapter_of,
    clean,
    prepare,
    worth_keeping,
)
from groundup.errors import BadInput

CONFIG = VersesConfig(
    val_fraction=0.1,
    test_fraction=0.2,
    max_chapters=None,
    length_ratio=(0.4, 2.5),
    max_dropped_share=1,
    seed=1,
)
LETTERS = string.ascii_letters  # no digits: those count as equal
BAND = CONFIG.length_ratio


def rows(side: str, **changed: str) -> list[dict[str, str]]:
    """Twenty chapters of four verses: ten of Genesis, ten of Matthew."""
    found = {}
    for book in (1, 40):
        for chapter in range(1, 11):
            for verse in range(1, 5):
                found[f"{book:02d}{chapter:03d}{verse:03d}"] = (
                    f"{side} {LETTERS[book]} {LETTERS[chapter]} {LETTERS[verse]}."
                )
    return [{"id": key, "text": text} for key, text in (found | changed).items()]


def test_chapters_stay_whole_and_both_testaments_are_everywhere() -> None:
    splits, report = prepare(rows("unto"), rows("to"), CONFIG)
    places = {name: {chapter_of(pair["id"]) for pair in part} for name, part in splits.items()}
    assert {name: len(chapters) for name, chapters in places.items()} == {"train": 14, "val": 2, "test": 4}
    assert not places["train"] & places["val"] and not places["test"] & (places["train"] | places["val"])

    for name, chapters in places.items():
        assert {verses.testament_of(chapter) for chapter in chapters} == {"Old Testament", "New Testament"}, (
            name
        )
    assert report["splits"]["test"] == {
        "pairs": 16,
        "chapters": 4,
        "chapters of the Old Testament": 2,
        "chapters of the New Testament": 2,
    }
    assert splits["train"][0].keys() == {"id", "source", "target"}
    assert sum(len(part) for part in splits.values()) == 80


def test_a_sample_of_chapters_is_split_alike() -> None:
    splits, report = prepare(rows("unto"), rows("to"), replace(CONFIG, max_chapters=5))
    assert {name: facts["chapters"] for name, facts in report["splits"].items()} == {
        "train": 6,
        "val": 2,
        "test": 2,
    }
    whole, _ = prepare(rows("unto"), rows("to"), CONFIG)
    used = {pair["id"] for part in splits.values() for pair in part}
    assert {pair["id"] for pair in splits["test"]} < {pair["id"] for pair in whole["test"]}
    assert len(used) == 40 and not report["dropped"]["in one Bible only"]


def test_equal_seeds_give_equal_splits_and_others_do_not() -> None:
    first = prepare(rows("unto"), rows("to"), CONFIG)
    assert prepare(rows("unto"), rows("to"), CONFIG) == first
    assert prepare(rows("unto"), rows("to"), replace(CONFIG, seed=2))[0] != first[0]


def test_a_repeated_story_is_dropped_from_train() -> None:
    splits, _ = prepare(rows("unto"), rows("to"), CONFIG)
    tested, learned = splits["test"][0]["id"], splits["train"][0]["id"]
    story = "and it came to pass in the seven and thirtieth year of the captivity of Jehoiachin"
    changes = {tested: f"Now {story}, that he spake.", learned: f"But {story.upper()} he did evil."}
    told, report = prepare(rows("unto", **changes), rows("to", **changes), CONFIG)
    assert learned not in {pair["id"] for pair in told["train"]}
    assert tested in {pair["id"] for pair in told["test"]}
    assert report["dropped"]["in train, repeated in what evaluates it"] == 1


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("And God said", "And God said", (True, "")),
        ("And God said", "", (False, "no words")),
        ("And God said", "***", (False, "no words")),
        ("And God said", "God *** said", (False, "a gap in the text")),
        ("And God said", "And God ...", (False, "a gap in the text")),
        ("And God said", "And", (False, "lengths too different")),
        ("And", "And God said it", (False, "lengths too different")),
    ],
)
def test_reasons(source: str, target: str, expected: tuple[bool, str]) -> None:
    assert worth_keeping(source, target, BAND) == expected


def test_clean() -> None:
    assert clean("darkness [was] upon the  man’s face\n") == "darkness was upon the man's face"


def test_what_is_dropped_is_counted() -> None:
    source, target = rows("unto", **{"01001001": "[]"}), rows("to", **{"01001002": "x *** y"})[:-1]
    pairs, dropped = align(source, target, BAND)
    assert dropped == {"in one Bible only": 1, "no words": 1, "a gap in the text": 1}
    assert len(pairs) == 77


def test_sides_that_do_not_align_are_refused() -> None:
    shifted = [row | {"id": f"{int(row['id']) + 1:08d}"} for row in rows("to")]
    with pytest.raises(
        BadInput, match=r"60 verses occur in both texts, which have 80 and 80 verses; expected at least 90%"
    ):
        align(rows("unto"), shifted, BAND)


def test_a_testament_too_small_to_split_is_refused() -> None:
    with pytest.raises(BadInput, match="New Testament has 0 chapters"):
        prepare(rows("unto")[:40], rows("to")[:40], CONFIG)
