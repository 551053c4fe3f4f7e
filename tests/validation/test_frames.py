"""The derived columns, worked out by hand."""

import pandas as pd

from groundup.validation.frames import DERIVED, raw_frame, split_frame


def test_raw_rows_keep_their_columns_and_get_the_derived_ones() -> None:
    rows = [
        {"id": "1", "label": "spam", "text": "win"},
        {"id": "2", "text": "win", "label": "ham", "extra": 1},
        {"id": "3", "label": "ham", "text": None},
    ]
    frame = raw_frame(rows, "spam")
    assert list(frame.columns) == ["id", "label", "text", "extra", *DERIVED["spam"]]
    assert frame.index.tolist() == [1, 2, 3]  # lines of the file
    assert frame["_text"].tolist() == ["win", "win", None]
    assert frame["_repeats"].tolist() == [0, 1, 0]
    assert frame["_spam"].tolist() == [1.0, 0.0, 0.0]


def test_all_text_of_a_row() -> None:
    talk = raw_frame([{"id": "1", "messages": ["a", "b"]}, {"id": "2", "messages": "ab"}], "pretraining")
    assert talk["_text"].tolist() == ["a\nb", None]
    task = {"id": "1", "family": "f", "instruction": "Do.", "input": "", "output": "ok"}
    assert raw_frame([task], "instructions")["_text"].tolist() == ["Do.\n\nok"]


def test_half_of_a_surrogate_pair_becomes_what_the_expectations_look_for() -> None:
    frame = raw_frame([{"id": "1", "messages": ["ok \ud83d", "🙂"]}], "pretraining")
    assert "\ufffd" in frame["_text"][1] and "🙂" in frame["_text"][1]
    frame["_text"][1].encode("utf-8")


def test_in_how_many_splits_a_text_and_a_group_occur() -> None:
    def message(text: str, group: str) -> dict[str, str]:
        return {"id": text, "label": "ham", "text": text, "group": group}

    train = [message("Hello!", "a"), message("hello", "a"), message("bye", "b")]
    frame = split_frame("spam", {"train": train, "test": [message("HELLO", "c"), message("tea", "b")]})
    assert frame.index.tolist() == ["train 1", "train 2", "train 3", "test 1", "test 2"]
    assert frame["split"].tolist() == ["train"] * 3 + ["test"] * 2
    assert frame["_splits_of_text"].tolist() == [2, 2, 1, 2, 1]
    assert frame["_splits_of_group"].tolist() == [1, 1, 2, 1, 2]


def test_digits_distinguish_instructions_but_not_documents() -> None:
    def task(number: int) -> dict[str, str]:
        return {"id": "", "family": "f", "instruction": f"Add {number}.", "input": "", "output": ""}

    tasks = split_frame("instructions", {"train": [task(1)], "test": [task(2)]}, digits_count=True)
    assert tasks["_splits_of_text"].tolist() == [1, 1]
    talk = {name: [{"id": "", "messages": ["call", text]}] for name, text in (("train", "1"), ("val", "2"))}
    assert split_frame("pretraining", talk)["_splits_of_text"].tolist() == [2, 2]


def test_families_that_leak() -> None:
    def task(family: str) -> dict[str, str]:
        return {"id": "", "family": family, "instruction": family, "input": "", "output": ""}

    splits = {"train": [task("a"), task("b")], "held_out": [task("b"), task("c")]}
    found: pd.DataFrame = split_frame("instructions", splits, digits_count=True)
    assert found["_family_is"].tolist() == ["trained", "leaked", "held out", "held out"]


def test_histories_belong_to_the_text() -> None:
    task = {"id": "1", "family": "f", "instruction": "Do.", "input": "", "output": "ok"}
    before = [{"role": "user", "content": "Hi \ud83d"}, {"role": "assistant", "content": "Hello"}]
    frame = raw_frame([task, {**task, "history": before}, {**task, "history": before[:1]}], "instructions")
    assert frame["_text"].tolist() == ["Do.\n\nok", "Hi \ufffd\ufffd\ufffd\nHello\nDo.\n\nok", None]
    assert list(frame.columns) == [*task, "history", *DERIVED["instructions"]]
    splits = {"train": [task, {**task, "history": before}], "test": [task]}
    assert split_frame("instructions", splits, digits_count=True)["_splits_of_text"].tolist() == [2, 1, 2]
