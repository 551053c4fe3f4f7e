import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.datasets import corpus
from groundup.datasets.corpus import CorpusConfig, cut
from groundup.datasets.corpus import prepare as prepare_splits
from groundup.errors import BadInput
from groundup.text.documents import text_of
from groundup.text.overlap import TextIndex, normalise


def config(**changes):
    return CorpusConfig(
        **(
            {
                "val_fraction": 0.2,
                "gate_fraction": 0,
                "min_messages": 1,
                "min_chars": 1,
                "max_documents": None,
                "max_dropped_share": 1,
                "seed": 1,
            }
            | changes
        )
    )


def prepare(rows, config):
    splits, report = prepare_splits(rows, config)
    assert config.gate_fraction or not splits["gate"]
    return splits["train"], splits["val"], report


def documents(*texts):
    return [{"id": f"d{i}", "messages": text.split("|")} for i, text in enumerate(texts)]


def many(count):
    return documents(
        *(f"document number {chr(97 + i % 26)}{chr(97 + i // 26)}|and so on" for i in range(count))
    )


words = st.lists(st.sampled_from(["Hi", "hi!", "you", "2", "3", "ok?", "why"]), min_size=1, max_size=16)
texts = st.lists(words.map(" ".join), min_size=2, max_size=30)


def test_every_reason_is_counted():
    rows = documents(
        "a long message|and another",
        "short|x",
        "a long message",
        " | a long one|b long one",
        "A LONG message!|and another",
    )
    train, val, report = prepare([*rows, {**rows[0], "id": "again"}], config(min_messages=2, min_chars=10))
    assert report["dropped"] == {
        "blank messages": 1,
        "under 2 messages": 1,
        "under 10 characters": 1,
        "exact duplicates": 1,
        "normalised duplicates": 1,
    }
    assert {d["id"] for d in train + val} == {"d0", "d3"} or report["cut_inside"]


@given(texts)
def test_no_text_and_no_13_words_on_both_sides(texts):
    rows = documents(*texts)
    try:
        train, val, report = prepare(rows, config(val_fraction=0.5))
    except BadInput:
        return
    if report["cut_inside"]:
        return
    keep_digits = report["digits_count"]
    index = TextIndex((document["messages"] for document in train), keep_digits=keep_digits)
    assert train and val
    assert not [document for document in val if index.find(text_of(document["messages"]))]
    ids = [document["id"] for document in train + val]
    assert len(ids) == len(set(ids)) == len({normalise(text, keep_digits=True) for text in texts})


def test_adding_and_removing_documents_keeps_the_others_in_place():
    rows = many(300)
    _, val, _ = prepare(rows, config())
    _, fewer, _ = prepare(rows[50:], config())
    later = {document["id"] for document in rows[50:]}
    assert {document["id"] for document in fewer} == {document["id"] for document in val} & later
    assert 35 <= len(val) <= 85


def test_order_of_documents_does_not_matter():
    rows = many(100)
    first = prepare(rows, config())[1]
    second = prepare(rows[::-1], config())[1]
    assert sorted(d["id"] for d in first) == sorted(d["id"] for d in second)


def test_documents_that_share_13_words_stay_together():
    shared = "one two three four five six seven eight nine ten eleven twelve thirteen"
    rows = many(200) + [{"id": f"s{i}", "messages": [f"start {chr(97 + i)}", shared]} for i in range(20)]
    train, val, report = prepare(rows, config(val_fraction=0.5))
    sides = [sum(d["id"].startswith("s") for d in side) for side in (train, val)]
    assert sides == [20, 0]
    assert 3 <= report["moved_to_train"] <= 17


@given(texts, st.sampled_from([0.1, 0.3, 0.6]))
def test_gate_comes_from_train_and_leaves_val_as_it_is(lines, gate_fraction):
    rows = documents(*lines)
    try:
        without, _ = prepare_splits(rows, config(val_fraction=0.3))
    except BadInput:
        return
    splits, report = prepare_splits(rows, config(val_fraction=0.3, gate_fraction=gate_fraction))
    assert splits["val"] == without["val"] and splits["train"]
    if not report["cut_inside"]:
        assert sorted(d["id"] for d in splits["train"] + splits["gate"]) == sorted(
            d["id"] for d in without["train"]
        )
        train = TextIndex((d["messages"] for d in splits["train"]), keep_digits=report["digits_count"])
        assert not [d for d in splits["gate"] if train.find(text_of(d["messages"]))]


def test_sizes_of_the_splits():
    splits, report = prepare_splits(many(600), config(gate_fraction=0.3))
    assert {name: part["documents"] for name, part in report["splits"].items()} == {
        name: len(part) for name, part in splits.items()
    }
    assert 90 < len(splits["val"]) < 150 and 150 < len(splits["gate"]) < 210


def test_a_single_document_is_cut_into_train_gate_and_val():
    text = "".join(f"Paragraph {i} is about nothing.\n\n" for i in range(40))
    splits, _ = prepare_splits(
        [{"id": "book", "messages": [text]}], config(val_fraction=0.1, gate_fraction=0.1)
    )
    parts = [splits[name][0]["messages"][0] for name in ("train", "gate", "val")]
    assert "".join(parts) == text
    assert [part.count("Paragraph") for part in parts] == [32, 4, 4]


def test_fractions_that_leave_nothing_for_train_are_refused():
    with pytest.raises(BadInput, match="gate_fraction is 1; expected less than 1"):
        prepare_splits(many(20), config(val_fraction=0.5, gate_fraction=0.5))


def test_sample_is_nested_and_keeps_order():
    small = corpus.sample(many(200), config(max_documents=20))
    large = corpus.sample(many(200), config(max_documents=50))
    assert len(small) == 20 and len(large) == 50
    assert {d["id"] for d in small} < {d["id"] for d in large}
    assert [int(d["id"][1:]) for d in large] == sorted(int(d["id"][1:]) for d in large)


def test_two_documents_give_one_each():
    train, val, _ = prepare(documents("a cat sat here", "some dog ran ."), config(val_fraction=0.01))
    assert len(train) == len(val) == 1


def test_a_single_document_is_cut_at_a_paragraph():
    text = "".join(f"Paragraph {i} is about nothing.\n\n" for i in range(40))
    train, val, report = prepare([{"id": "book", "messages": [text]}], config(val_fraction=0.1))
    assert report["cut_inside"]
    assert train[0]["messages"][0] + val[0]["messages"][0] == text
    assert train[0]["messages"][0].endswith("35 is about nothing.\n\n")


@given(st.text(min_size=2), st.floats(0.01, 0.99))
def test_cut_loses_nothing_and_leaves_no_side_empty(text, val_fraction):
    train, val = cut({"id": "x", "messages": [text]}, val_fraction)
    assert train["messages"][0] + val["messages"][0] == text
    assert train["messages"][0] and val["messages"][0]


def test_cut_between_messages():
    train, val = cut({"id": "x", "messages": ["aaaa", "bbbb", "cc", "dd"]}, 0.3)
    assert (train["messages"], val["messages"]) == (["aaaa", "bbbb"], ["cc", "dd"])


@pytest.mark.parametrize("rows", [[], documents("  "), documents("ab")])
def test_an_empty_corpus_is_refused(rows):
    with pytest.raises(BadInput, match="corpus is empty"):
        prepare(rows, config(min_chars=3))


def test_documents_that_all_share_text_are_refused():
    shared = "one two three four five six seven eight nine ten eleven twelve thirteen"
    with pytest.raises(BadInput, match="share text"):
        prepare(documents(f"a {shared}", f"b {shared}"), config())


def test_a_document_that_is_a_message_of_another_goes_to_train():
    rows = many(100) + [{"id": f"m{i}", "messages": [f"Document number {chr(97 + i)}A!"]} for i in range(4)]
    train, _, report = prepare(rows, config(val_fraction=0.9))
    assert {f"m{i}" for i in range(4)} <= {document["id"] for document in train}
    assert report["moved_to_train"] >= 2


SUMS = [f"{a} + {b} = {a + b}" for a in range(10, 40) for b in range(10, 40)]
PRICES = [f"Item {100 + i}: {2 * i + 1}.50 EUR" for i in range(500)]
LONG = [
    f"On day {i} one could buy the bread of the shop on the corner for {i + 7} cents." for i in range(300)
]


@pytest.mark.parametrize("texts", [SUMS, PRICES, LONG])
def test_documents_of_numbers_are_documents(texts):
    train, val, report = prepare(documents(*texts), config(val_fraction=0.1))
    assert report["dropped"] == {}
    assert sorted(text_of(d["messages"]) for d in train + val) == sorted(texts)
    assert 0.05 * len(texts) < len(val) < 0.15 * len(texts)
    assert report["digits_count"]
    again = prepare(documents(*texts, *(text.upper() for text in texts[:7])), config(val_fraction=0.1))[2]
    assert sum(again["dropped"].values()) == 7


def test_among_words_documents_that_differ_in_numbers_stay_together():
    rows = many(200) + documents(*(f"price {i}" for i in range(100, 150)))
    rows = [row | {"id": f"{i}{row['id']}"} for i, row in enumerate(rows)]
    train, val, report = prepare(rows, config(val_fraction=0.5))
    assert not report["digits_count"] and report["dropped"] == {}
    assert sum(d["messages"][0].startswith("price") for d in train) == 50
    alone = prepare(rows[:200], config(val_fraction=0.5))[1]
    assert alone == val  # all others stay in their split


def test_too_many_dropped_documents_are_refused():
    rows = documents("hello", "hello", "HELLO", "x", "some text", "more text", "a|b| |c")
    fine = prepare(rows, config(min_chars=2, max_dropped_share=3 / 7))[2]
    assert fine["dropped"] == {"blank messages": 1, "under 2 characters": 1,
                               "exact duplicates": 1, "normalised duplicates": 1}  # fmt: skip
    expected = (
        r"3 of 7 rows \(42\.9%\) would be dropped: 1 under 2 characters, 1 exact duplicates, 1 normalised "
        r"duplicates; corpus\.max_dropped_share allows 42\.0%"
    )
    with pytest.raises(BadInput, match=expected):
        prepare(rows, config(min_chars=2, max_dropped_share=0.42))
