"""The split of instruction rows: nothing lost, nothing in two places, stable; the book's split against its own code."""

import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.datasets.instructions import (
    BookInstructionsConfig,
    DeduplicatedInstructionsConfig,
    InstructionsConfig,
    Row,
    Splits,
    dedupe,
    prepare,
    prompt_of,
    training_texts,
)
from groundup.errors import BadInput
from groundup.text.overlap import TextIndex, normalise
from groundup.verifiable.tasks import generate

CONFIG = DeduplicatedInstructionsConfig(
    "deduplicated", 0.1, 0.2, 0, ("second_word", "contains_kind"), 1, seed=3
)
BOOK = BookInstructionsConfig("book")


def row(number: int, instruction: str, input: str = "", output: str = "yes", family: str = "a") -> Row:
    return {"id": str(number), "family": family, "instruction": instruction, "input": input, "output": output}


def plain(count: int, family: str = "a") -> list[Row]:
    """Rows without repetitions."""
    words = ["".join(chr(ord("a") + int(digit)) for digit in str(number)) for number in range(count)]
    return [row(number, f"Say {word}.", f"x{word}", family=family) for number, word in enumerate(words)]


def places(splits: Splits) -> dict[str, str]:
    return {row["id"]: name for name, part in splits.items() for row in part}


@pytest.fixture(scope="module")
def tasks() -> list[Row]:
    return generate(60, seed=1)


def test_split_of_the_tasks(tasks: list[Row]) -> None:
    splits, report = prepare(tasks, CONFIG)
    assert list(splits) == ["train", "val", "test", "gate", "held_out"]
    dropped = sum(report["dropped"].values())
    assert sum(map(len, splits.values())) + dropped == report["read"] == len(tasks)
    assert dropped < 0.01 * len(tasks)
    assert {r["family"] for r in splits["held_out"]} == set(CONFIG.held_out_families)
    for name, share in (("train", 42), ("val", 6), ("test", 12)):
        families = Counter(r["family"] for r in splits[name])
        assert set(families) == {r["family"] for r in tasks} - set(CONFIG.held_out_families)
        assert report["splits"][name] == {"rows": len(splits[name]), "families": dict(families)}
        # groups of several rows may not fit the last place, and contaminated rows are gone
        assert all(share - 3 <= size <= share + 3 for size in families.values())


def test_gate_comes_from_train_and_leaves_the_other_splits_as_they_are(tasks: list[Row]) -> None:
    without, _ = prepare(tasks, CONFIG)
    splits, report = prepare(tasks, replace(CONFIG, gate_fraction=0.1))
    for name in ("val", "test", "held_out"):
        assert splits[name] == without[name]
    dropped = sum(count for reason, count in report["dropped"].items() if reason.startswith("gate: "))
    assert len(splits["train"]) + len(splits["gate"]) + dropped == len(without["train"])
    families = Counter(r["family"] for r in splits["gate"])
    assert set(families) == {r["family"] for r in splits["train"]}
    assert all(3 <= size <= 6 for size in families.values())
    train = TextIndex((text for r in splits["train"] for text in training_texts(r)), keep_digits=True)
    assert not [r for r in splits["gate"] if train.find(prompt_of(r))]


def test_the_first_rows_are_a_sample(tasks: list[Row]) -> None:
    splits, _ = prepare(tasks, CONFIG)
    families = {r["family"] for r in splits["train"]}
    assert len({r["family"] for r in splits["train"][:200]}) > 0.9 * len(families)


def test_no_input_of_a_family_in_two_splits(tasks: list[Row]) -> None:
    splits, _ = prepare(tasks, CONFIG)
    where: dict[tuple[str, str], set[str]] = {}
    for name, part in splits.items():
        for r in part:
            where.setdefault((r["family"], normalise(r["input"] or r["instruction"])), set()).add(name)
    assert all(len(names) == 1 for names in where.values())


def kinds_in(index: TextIndex, texts: Sequence[str]) -> dict[str, str]:
    return {text: hit.kind for text in texts if (hit := index.find(text))}


def test_no_evaluation_item_occurs_in_training(tasks: list[Row]) -> None:
    index = TextIndex(["Say the first word. " + tasks[0]["input"], "unrelated"])
    splits, _ = prepare(tasks, CONFIG, partial(kinds_in, index))
    train = TextIndex(text for r in splits["train"] for text in training_texts(r))
    for name in ("val", "test", "held_out"):
        assert not [r for r in splits[name] if train.find(prompt_of(r)) or index.find(prompt_of(r))]


def test_contaminated_rows_are_dropped_with_their_reason() -> None:
    rows = plain(40)
    clean, _ = prepare(rows, replace(CONFIG, held_out_families=()))
    victim, other = clean["test"][0], clean["val"][0]
    index = TextIndex([prompt_of(victim), prompt_of(other).upper()])
    splits, report = prepare(rows, replace(CONFIG, held_out_families=()), partial(kinds_in, index))
    assert splits["test"] == clean["test"][1:] and splits["val"] == clean["val"][1:]
    assert splits["train"] == clean["train"]
    assert report["dropped"] == {
        "test: exact in earlier training": 1,
        "val: normalised in earlier training": 1,
    }


def test_shared_words_inside_the_data_are_found() -> None:
    """13 words in a row of an evaluation row in a training row, though their inputs differ."""
    long = "one two three four five six seven eight nine ten eleven twelve thirteen"
    rows = [row(number, f"w{number}", f"{long} v{number}") for number in range(20)]
    with pytest.raises(BadInput, match="leave nothing for val and test"):
        prepare(rows, replace(CONFIG, held_out_families=()))


def test_dedupe_by_hand() -> None:
    rows = [
        row(0, "Say tea."),
        row(1, "Say tea."),
        row(2, "say  TEA", "!"),
        row(3, "1 + 2"),
        row(4, "3 + 4"),
        row(5, " ", "tea"),
        row(6, "Say red.", output=" "),
        row(7, "Say", "tea"),
    ]
    kept, reasons = dedupe(rows)
    assert [r["id"] for r in kept] == ["0", "3", "4"]
    assert reasons == {"exact duplicates": 1, "normalised duplicates": 2, "blank instructions or outputs": 2}


@given(st.integers(20, 60), st.integers(0, 2**32), st.integers(0, 2**32))
def test_order_of_rows_does_not_matter(count: int, seed: int, shuffle: int) -> None:
    config = replace(CONFIG, held_out_families=(), seed=seed)
    rows = plain(count)
    before = places(prepare(rows, config)[0])
    shuffled = Random(shuffle).sample(rows, len(rows))
    assert places(prepare(shuffled, config)[0]) == before


@given(st.integers(30, 60), st.integers(1, 5))
def test_added_rows_move_at_most_their_own_number(count: int, added: int) -> None:
    """A new row may move only the last row of a split to the next one; other families stay the same."""
    config = replace(CONFIG, held_out_families=())
    other = [{**r, "id": f"b{r['id']}"} for r in plain(30, family="b")]
    before = places(prepare(plain(count) + other, config)[0])
    after = places(prepare(plain(count + added) + other, config)[0])
    moved = [id_ for id_, name in before.items() if after[id_] != name]
    assert len(moved) <= 2 * added  # at the edge of test and at that of val
    assert not [id_ for id_ in moved if id_.startswith("b")]


def test_seed_changes_the_split() -> None:
    config = replace(CONFIG, held_out_families=())
    first, second = (places(prepare(plain(60), replace(config, seed=seed))[0]) for seed in (1, 2))
    assert first != second


def test_book_order() -> None:
    rows = plain(1100)
    splits, report = prepare(rows, BOOK)
    assert [len(splits[name]) for name in ("train", "test", "val", "held_out")] == [935, 110, 55, 0]
    assert splits["train"] + splits["test"] + splits["val"] == rows
    assert report["dropped"] == report["leaks"] == {}


@pytest.mark.book
def test_book_data() -> None:
    """2 of 110 test and 4 of 55 validation prompts are in train; 31 prompts are repeated."""
    file = Path(os.environ.get("GROUNDUP_MIRROR", "")) / "instruction-data.json"
    if not file.is_file():
        pytest.skip("GROUNDUP_MIRROR has no instruction-data.json")
    entries = json.loads(file.read_text(encoding="utf-8"))
    rows = [{"id": str(i), "family": "book", **entry} for i, entry in enumerate(entries)]
    splits, report = prepare(rows, BOOK)
    assert [len(splits[name]) for name in ("train", "test", "val")] == [935, 110, 55]
    assert report["leaks"]["test: exact in instruction training"] == 2
    assert report["leaks"]["val: exact in instruction training"] == 4
    _, report = prepare(rows, replace(CONFIG, held_out_families=()))
    assert report["dropped"]["exact duplicates"] + report["dropped"]["normalised duplicates"] == 31


@pytest.mark.parametrize(
    ("rows", "config", "message"),
    [
        ([], CONFIG, "has no rows"),
        (plain(30), CONFIG, "names contains_kind, second_word; expected some of a:"),
        (
            [*plain(3), {"id": "x", "family": "a", "instruction": "Go."}],
            CONFIG,
            "row 4 has no text under input, output",
        ),
        ([{**plain(1)[0], "output": 5}], CONFIG, "row 1 has no text under output"),
        (plain(3), replace(CONFIG, held_out_families=()), "3 instruction rows leave nothing for val"),
        (plain(30), replace(CONFIG, held_out_families=(), val_fraction=0.9), "is 1.1; expected less than 1"),
    ],
)
def test_bad_input(rows: list[Row], config: InstructionsConfig, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        prepare(rows, config)


def talk(number: int, *texts: str, system: str = "") -> Row:
    """User and assistant in turn; the last two are the row's own."""
    roles = ["user", "assistant"] * len(texts)
    messages = [{"role": role, "content": text} for role, text in zip(roles, texts, strict=False)]
    before = [{"role": "system", "content": system}] if system else []
    return {**row(number, texts[-2], "", texts[-1]), "history": [*before, *messages[:-2]]}


def test_what_a_conversation_shows_by_hand() -> None:
    found = talk(1, "Hi.", "Hello.", "Bye.", "See you.", system="Be kind.")
    assert prompt_of(found) == "Hi.\nBye."
    assert training_texts(found) == ["Hi.", "Hi.\nHello.", "Hi.\nBye.", "Hi.\nBye.\nSee you."]


def test_conversations_differ_by_the_messages_of_the_user() -> None:
    rows = [
        talk(n, f"Say {word}.", word, "Thanks!", "Welcome.") for n, word in enumerate(("one", "two", "ONE"))
    ]
    assert [r["id"] for r in dedupe(rows)[0]] == ["0", "1"]


def test_conversations_that_begin_alike_stay_together() -> None:
    words = [chr(ord("a") + n) * 3 for n in range(20)]
    system = "You are a helpful assistant that answers every question kindly, briefly and to the point."
    rows = [
        talk(100 * n + m, f"Say {word}.", word, *["Again, please!", word] * m, system=system)
        for n, word in enumerate(words)
        for m in range(3)
    ]
    splits, report = prepare(rows, replace(CONFIG, held_out_families=()))
    place = places(splits)
    assert len(place) == 60 and not report["dropped"]  # system messages are no contamination
    assert all(len({place[str(100 * n + m)] for m in range(3)}) == 1 for n in range(20))
    assert {place[str(100 * n)] for n in range(20)} == {"train", "val", "test"}


def test_an_evaluation_item_that_a_training_conversation_answers_on_the_way_is_found() -> None:
    asked = row(1, "Say the first word.", "tea, red")
    index = TextIndex(training_texts(talk(2, prompt_of(asked), "tea", "Why?", "So.")))
    assert index.find(prompt_of(asked)) is not None
    assert index.find("Why?") is None  # alone it is another request


def test_a_history_that_is_no_conversation() -> None:
    wrong = {**row(2, "Hi"), "history": [{"role": "user", "content": "Hi"}]}
    with pytest.raises(BadInput, match="row 2 has an invalid history"):
        prepare([row(1, "Hi"), wrong], replace(CONFIG, held_out_families=()))
