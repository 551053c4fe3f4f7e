from collections.abc import Callable
from pathlib import Path

import pytest

from groundup.datasets.verses import SPLITS, prepare
from groundup.errors import BadInput
from groundup.text.jsonl import read_jsonl, read_splits, write_jsonl, write_splits
from groundup.tracking import silent
from pipelines.study.check_verses import main
from tests.datasets.test_verses import CONFIG, rows
from tests.pipelines.prepared import read_json


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_splits(tmp_path / "verses", *prepare(rows("unto"), rows("to"), CONFIG))
    return tmp_path


def check(folder: Path) -> None:
    outs = [folder / name for name in ("verses.json", "metrics.json")]
    main(silent(), folder / "verses", *outs, verses=CONFIG)


def test_valid_pairs_pass(folder: Path) -> None:
    check(folder)
    found = read_json(folder / "metrics.json")
    assert found["success"] is True  # type: ignore[index]
    assert found["contaminated"] == 0  # type: ignore[index]
    assert found["datasets"]["verses"]["failed"] == 0  # type: ignore[index]
    results = (folder / "verses.json").read_text()
    assert "No chapter is in two splits." in results and "canaries" in results


FAULTS: list[tuple[str, Callable[[list, list], None], str]] = [
    ("a number left", lambda train, test: train[2].update(source="1. unto a"), "No source contains numbers"),
    (
        "a bracket left",
        lambda train, test: train[2].update(target="to [a] b c"),
        "No target contains numbers",
    ),
    ("blank", lambda train, test: train[2].update(source=" "), "Every source has a word."),
    (
        "too long",
        lambda train, test: train[2].update(target="to " * 30),
        "0.4 to 2.5 characters per character",
    ),
    ("a verse twice", lambda train, test: train.append(dict(test[0])), "No verse is in two splits."),
    ("an id", lambda train, test: train[2].update(id="Gen 1:1"), "eight digits"),
    (
        "a chapter in two splits",
        lambda train, test: train.append(test.pop(0) | {"source": "unto x y", "target": "to x y"}),
        "No chapter is in two splits.",
    ),
    (
        "shifted by one",
        lambda train, test: [
            a.update(target=b["target"]) for a, b in zip(train, [*train[1:], train[0]], strict=True)
        ],
        "share more words with their own translation",
    ),
    ("no New Testament", lambda train, test: train.__delitem__(slice(28, None)), "verses of both testaments"),
    (
        "a test verse learned",
        lambda train, test: train[2].update(target=test[0]["source"]),
        "No item of test/source occurs in the training text of target",
    ),
]


@pytest.mark.parametrize(("plant", "says"), [case[1:] for case in FAULTS], ids=[case[0] for case in FAULTS])
def test_a_planted_fault_stops_the_stage_and_is_reported(
    folder: Path, plant: Callable[[list, list], None], says: str
) -> None:
    check(folder)
    splits = read_splits(folder / "verses", SPLITS)
    plant(splits["train"], splits["test"])
    for name, pairs in splits.items():
        write_jsonl(folder / "verses" / f"{name}.jsonl", pairs)
    with pytest.raises(BadInput, match=r"the verses do not meet these expectations") as caught:
        check(folder)
    assert says in str(caught.value)
    assert not (folder / "metrics.json").exists()
    assert says in (folder / "verses.json").read_text()
    assert "groundup.reports.validation" in str(caught.value)
    assert read_jsonl(folder / "verses" / "train.jsonl")
