from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.datasets.corpus import NearDuplicates
from groundup.datasets.increments import (
    BETWEEN,
    CONFLICTING,
    DUPLICATE,
    EVALUATED,
    Known,
    add,
    judge,
    labels_by_key,
    read_increments,
)
from groundup.datasets.spam import DeduplicatedSpamConfig, Elsewhere, prepare
from groundup.errors import BadInput
from groundup.text.jsonl import write_jsonl
from groundup.text.near_duplicates import NearIndex
from groundup.text.overlap import TextIndex, ngrams, normalise

PHRASE = "one two three four five six seven eight nine ten eleven twelve thirteen"
OTHER = "uno due tre quattro cinque sei sette otto nove dieci undici dodici tredici"


def row(text: str, label: str = "ham", **more: str) -> dict[str, Any]:
    return {"id": text, "label": label, "text": text, **more}


KNOWN_ROWS = [
    row("in train 1"),
    row("in gate 1"),
    row("in test", "spam"),
    row(f"train {PHRASE}"),
    row(f"gate {OTHER}"),
]
KNOWN = Known(
    labels=labels_by_key(KNOWN_ROWS),
    placed=[
        ("in train 1", "train"),
        ("in gate 1", "gate"),
        (f"train {PHRASE}", "train"),
        (f"gate {OTHER}", "gate"),
    ],
    learned=TextIndex([["hello there", "how are you"]]),
    evaluated=(NearIndex(["in test", "What is 1 + 2?"]),),
    held_out=["in test", "call me back before noon"],
    near=NearDuplicates(similarity=0.6, words=1),
)


@pytest.mark.parametrize(
    ("text", "label", "verdict"),
    [
        ("quite new", "ham", "chosen"),
        ("IN TRAIN 1", "ham", DUPLICATE),
        ("in gate 1!", "ham", DUPLICATE),
        ("in train 1", "spam", CONFLICTING),
        ("In test.", "spam", EVALUATED),
        ("In test.", "ham", EVALUATED),
        ("what is 17 + 4", "ham", EVALUATED),
        ("in train 2,000", "spam", "train"),  # another number is another message, in the same group
        ("in gate 2", "ham", "gate"),
        (f"{PHRASE} and on", "ham", "train"),
        (f"so {OTHER}", "ham", "gate"),
        (f"{PHRASE} {OTHER}", "ham", BETWEEN),
        ("How are you?", "ham", "train"),  # the model has read it
        (":-)", "ham", "chosen"),
        ("please call me back before noon", "ham", EVALUATED),  # five of six words
        ("please call me back at noon", "ham", "chosen"),  # four of seven
        ("in a train 1", "ham", "train"),
    ],
)
def test_one_message(text: str, label: str, verdict: str) -> None:
    assert judge([row(text, label)], KNOWN, lambda group: "chosen") == [verdict]


def test_messages_of_one_file_are_compared_with_each_other() -> None:
    rows = [
        row("new a"),
        row("NEW A"),
        row("b", "ham"),
        row("B!", "spam"),
        row("code 1"),
        row("code 2", "spam"),
    ]
    seen: list[list[str]] = []

    def choose(group: Any) -> str:
        seen.append([one["text"] for one in group])
        return "gate"

    assert judge(rows, KNOWN, choose) == ["gate", DUPLICATE, CONFLICTING, CONFLICTING, "gate", "gate"]
    assert seen == [["new a"], ["code 1", "code 2"]]


def test_nothing_is_known() -> None:
    nothing = Known({}, (), None, (), (), None)
    assert judge([], nothing, lambda _: "train") == []
    assert judge([row("a"), row("a")], nothing, lambda _: "train") == ["train", DUPLICATE]


def test_added_rows_join_the_groups_of_their_near_duplicates() -> None:
    splits = {
        "train": [row("pay 1", group="pay 1")],
        "val": [row("in val", group="in val")],
        "test": [row("in test", group="in test")],
        "gate": [row("see 1", group="see 1")],
    }
    texts = {
        "pay 2": "gate",
        "see 2": "train",
        "in val": "train",
        "In test!": "gate",
        "new 1": "gate",
        "new 2": "train",
        "well in test": "gate",
        "not yet 3": "gate",
        "yet not a 3": "train",
    }
    new = [row(text, split=split, increment="x") for text, split in texts.items()]
    grown, facts = add(new, splits, None, NearIndex(()), NearDuplicates(0.6, 1))
    assert facts == {"rows": 9, "train": 5, "gate": 1, "dropped": {EVALUATED: 3}}
    assert (grown["val"], grown["test"]) == (splits["val"], splits["test"])
    place = {one["text"]: (name, one["group"]) for name, part in grown.items() for one in part}
    assert place["pay 2"] == ("train", "pay 1") and place["see 2"] == ("gate", "see 1")
    assert place["new 1"] == place["new 2"] == ("train", "new 1")  # recorded apart, in two clones
    assert place["not yet 3"] == place["yet not a 3"] == ("train", "not yet 3")  # the same words but one
    assert splits["train"] == [row("pay 1", group="pay 1")]


words = st.lists(st.sampled_from(["Win", "win!", "call", "2", "3", "ok", "now"]), min_size=1, max_size=15)
pairs = st.lists(st.tuples(st.sampled_from(["ham", "spam"]), words.map(" ".join)), max_size=30)
assigned = st.lists(
    st.tuples(st.sampled_from(["ham", "spam"]), words.map(" ".join), st.sampled_from(["train", "gate"])),
    max_size=20,
)


@given(pairs, assigned, st.lists(words.map(" ".join), max_size=3))
def test_no_new_message_ever_reaches_test_or_val(
    old: list[tuple[str, str]], new: list[tuple[str, str, str]], held_out: list[str]
) -> None:
    rows = [{"id": f"m{i}", "label": label, "text": text} for i, (label, text) in enumerate(old)]
    rows += [{"id": "x", "label": "ham", "text": "one ham"}, {"id": "y", "label": "spam", "text": "one spam"}]
    more = [
        {"id": f"n{i}", "label": label, "text": text, "split": split, "increment": "z"}
        for i, (label, text, split) in enumerate(new)
    ]
    config = DeduplicatedSpamConfig("deduplicated", 0.2, 0.2, 0.2, "none", None, 1, 1)
    elsewhere = Elsewhere(TextIndex(()), NearIndex(held_out))
    try:
        before, _ = prepare(rows, config, elsewhere)
    except BadInput as error:
        assert "never divided" in str(error)
        return
    after, report = prepare(rows, config, elsewhere, more)
    assert (after["val"], after["test"]) == (before["val"], before["test"])
    for name in ("train", "gate"):
        assert after[name][: len(before[name])] == before[name]
        grown = after[name][len(before[name]) :]
        assert len(grown) == report.get("new", {}).get(name, 0)
        assert not [m for m in grown if normalise(m["text"]) in set(map(normalise, held_out))]
    for one, other in combinations(after, 2):
        assert not {m["group"] for m in after[one]} & {m["group"] for m in after[other]}
        assert not {normalise(m["text"]) for m in after[one]} & {normalise(m["text"]) for m in after[other]}
        grams = [set().union(*(ngrams(m["text"]) for m in after[name])) for name in (one, other)]
        assert not grams[0] & grams[1]


def test_increments_are_read_with_their_names(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "b.jsonl", [row("x", split="gate")])
    write_jsonl(tmp_path / "a.jsonl", [row("y", split="train"), row("z", split="gate")])
    (tmp_path / "README.md").write_text("not an increment")
    (tmp_path / "a.jsonl.dvc").write_text("outs: []")
    found = [(one["increment"], one["text"], one["split"]) for one in read_increments(tmp_path)]
    assert found == [("a", "y", "train"), ("a", "z", "gate"), ("b", "x", "gate")]


@pytest.mark.parametrize("change", [{"split": "test"}, {"label": "Spam"}, {"text": None}, {"id": 5}])
def test_a_file_that_is_no_increment_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    write_jsonl(tmp_path / "a.jsonl", [row("x", split="gate"), row("y", split="gate") | change])
    with pytest.raises(BadInput, match=r"a\.jsonl, line 2: .* into the inbox instead"):
        read_increments(tmp_path)
