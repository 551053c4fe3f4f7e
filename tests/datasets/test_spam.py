import os
import re
from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.datasets.corpus import NearDuplicates
from groundup.datasets.spam import (
    BOOK_GLUED,
    BookSpamConfig,
    DeduplicatedSpamConfig,
    Elsewhere,
    glue_as_book,
    prepare,
)
from groundup.errors import BadInput
from groundup.text.near_duplicates import NearIndex
from groundup.text.overlap import TextIndex, ngrams, normalise

BOOK = BookSpamConfig("book")


def config(**changes):
    values = {
        "protocol": "deduplicated",
        "val_fraction": 0.1,
        "test_fraction": 0.2,
        "gate_fraction": 0,
        "balance": "none",
        "near_duplicates": None,
        "max_dropped_share": 1,
        "seed": 1,
    }
    return DeduplicatedSpamConfig(**(values | changes))


def rows(*pairs):
    return [{"id": f"m{i}", "label": label, "text": text} for i, (label, text) in enumerate(pairs)]


def letters(number):
    return "".join(chr(97 + int(digit)) for digit in str(number))


def many(ham=160, spam=40):
    return rows(
        *(("ham", f"hello {letters(i)}") for i in range(ham)),
        *(("spam", f"win {letters(i)}") for i in range(spam)),
    )


def test_reasons_and_sizes():
    extra = [("ham", "hello b"), ("ham", "HELLO B!"), ("spam", "both"), ("ham", "Both"), ("ham", "  ")]
    messages = many() + [m | {"id": f"x{m['id']}"} for m in rows(*extra)]
    splits, report = prepare(messages, config())
    assert report["dropped"] == {
        "exact duplicates": 1,
        "normalised duplicates": 1,
        "conflicting labels": 2,
        "blank": 1,
    }
    assert {name: len(part) for name, part in splits.items()} == {
        "train": 140,
        "val": 20,
        "test": 40,
        "gate": 0,
    }
    for part, spams in (("train", 28), ("val", 4), ("test", 8)):  # stratified: 20% in each
        assert Counter(m["label"] for m in splits[part])["spam"] == spams == report["splits"][part]["spam"]
    assert report["leakage"] == {"exact": 0, "normalised": 0, "share": 0.0}


def test_messages_that_share_most_of_their_words_are_in_one_group():
    twins = rows(("ham", "hello aa bb cc dd"), ("ham", "hello aa bb cc dd ee"))
    messages = [*many(), *(twin | {"id": f"twin{i}"} for i, twin in enumerate(twins))]
    for similar, groups in ((None, 202), (NearDuplicates(0.7, 1), 201)):
        splits, _ = prepare(messages, config(near_duplicates=similar))
        assert len({m["group"] for part in splits.values() for m in part}) == groups


words = st.lists(st.sampled_from(["Win", "win!", "call", "2", "3", "ok", "now"]), min_size=1, max_size=16)
messages = st.lists(st.tuples(st.sampled_from(["ham", "spam"]), words.map(" ".join)), min_size=2, max_size=40)


@given(messages)
def test_no_group_no_text_and_no_13_words_in_two_splits(pairs):
    labels = {label for label, _ in pairs}
    if labels != {"ham", "spam"}:
        return
    try:
        splits, report = prepare(rows(*pairs), config(val_fraction=0.2, test_fraction=0.2, gate_fraction=0.2))
    except BadInput as error:
        assert "never divided" in str(error)
        return
    kept = [m for part in splits.values() for m in part]
    texts = [normalise(m["text"], keep_digits=True) for m in kept]
    assert len(texts) == len(set(texts))
    assert len(kept) + sum(report["dropped"].values()) == len(pairs)
    for one, other in combinations(splits, 2):
        assert not {m["group"] for m in splits[one]} & {m["group"] for m in splits[other]}
        assert not {normalise(m["text"]) for m in splits[one]} & {normalise(m["text"]) for m in splits[other]}
        grams = [set().union(*(ngrams(m["text"]) for m in splits[name])) for name in (one, other)]
        assert not grams[0] & grams[1]


def test_messages_that_differ_in_numbers_are_kept_and_those_of_a_template_stay_together():
    codes = [
        ("ham", f"Your code for shop {letters(i % 20)} is {(1000 + i) * 10 ** (i % 4):,}") for i in range(160)
    ]
    prizes = [("spam", f"Call {i * 37} now {letters(i % 10)}") for i in range(40)]
    splits, report = prepare(rows(*codes, *prizes), config())
    assert report["dropped"] == {}
    assert {name: len(part) for name, part in splits.items()} == {
        "train": 140,
        "val": 20,
        "test": 40,
        "gate": 0,
    }
    template = {m["text"]: re.sub(r"[\d,]+", "0", m["text"]) for part in splits.values() for m in part}
    places = {name: {template[m["text"]] for m in part} for name, part in splits.items()}
    assert sum(map(len, places.values())) == 30 == len(set().union(*places.values()))
    assert report["leakage"] == {"exact": 0, "normalised": 0, "share": 0.0}


def test_a_handful_of_templates_cannot_be_split():
    pairs = [("ham", f"Your code is {i}") for i in range(50, 150)] + [
        ("spam", f"Win {i}") for i in range(5, 55)
    ]
    with pytest.raises(BadInput, match=r"the 150 messages form 2 groups .* small enough for test"):
        prepare(rows(*pairs), config())


def test_labels_conflict_on_the_same_numbers_only():
    pairs = [("ham", "Pay 5 now"), ("spam", "Pay 6 now"), ("ham", "pay 7 now"), ("spam", "Pay 7, now!")]
    _, report = prepare(many() + [m | {"id": "x" + m["id"]} for m in rows(*pairs)], config())
    assert report["dropped"] == {"conflicting labels": 2}


def test_too_many_dropped_messages_are_refused():
    copies = [m | {"id": "copy" + m["id"]} for m in many()[:50]]
    assert prepare(many() + copies, config(max_dropped_share=0.2))[1]["dropped"] == {"exact duplicates": 50}
    with pytest.raises(BadInput, match=r"50 exact duplicates; spam\.max_dropped_share allows 19\.0%"):
        prepare(many() + copies, config(max_dropped_share=0.19))
    undersampled = prepare(many(), config(max_dropped_share=0, balance="undersample"))[1]
    assert undersampled["dropped"] == {"undersampled": 84}  # as asked for


def test_adding_duplicates_moves_nothing():
    before, _ = prepare(many(), config())
    after, _ = prepare(many() + [m | {"id": "copy" + m["id"]} for m in many()], config())
    assert after == before


def test_adding_a_message_moves_at_most_the_edges():
    before, _ = prepare(many(), config())
    after, _ = prepare(many() + rows(("ham", "quite new")), config())
    place = {m["id"]: name for name, part in after.items() for m in part}
    moved = [m["id"] for name, part in before.items() for m in part if place[m["id"]] != name]
    assert len(moved) <= 3


def test_another_seed_is_another_split():
    assert prepare(many(), config())[0]["test"] != prepare(many(), config(seed=2))[0]["test"]


def test_messages_of_the_pretraining_text_go_to_train():
    plain, _ = prepare(many(), config())
    seen = [m["text"] for m in plain["test"]]
    elsewhere = Elsewhere(TextIndex([["x", seen[0]], [seen[1].upper()]]), NearIndex(()))
    splits, report = prepare(many(), config(), elsewhere)
    assert {seen[0], seen[1]} <= {m["text"] for m in splits["train"]}
    assert report["kept_in_train"] == 2
    assert len(splits["test"]) == len(plain["test"])


def test_gate_comes_from_train_and_leaves_val_and_test_as_they_are():
    without, _ = prepare(many(), config())
    splits, report = prepare(many(), config(gate_fraction=0.1))
    assert {name: len(part) for name, part in splits.items()} == {
        "train": 120,
        "val": 20,
        "test": 40,
        "gate": 20,
    }
    assert (splits["val"], splits["test"]) == (without["val"], without["test"])
    assert sorted(m["id"] for m in splits["train"] + splits["gate"]) == sorted(
        m["id"] for m in without["train"]
    )
    assert report["splits"]["gate"] == {"messages": 20, "groups": 20, "ham": 16, "spam": 4}


def test_messages_of_held_out_documents_are_not_trained_on():
    plain, _ = prepare(many(), config())
    first, second = plain["train"][:2]
    elsewhere = Elsewhere(TextIndex(()), NearIndex([first["text"].upper(), "a whole document"]))
    splits, report = prepare(many(), config(), elsewhere)
    assert first not in splits["train"] and second in splits["train"]
    assert report["dropped"] == {"in held-out text of the corpus": 1}


def test_undersample_balances_train_only():
    splits, report = prepare(many(), config(balance="undersample"))
    assert Counter(m["label"] for m in splits["train"]) == {"ham": 28, "spam": 28}
    assert len(splits["test"]) == 40
    assert report["dropped"]["undersampled"] == 84


@pytest.mark.parametrize(
    ("pairs", "changes", "words"),
    [
        ([], {}, "both ham and spam"),
        ([("ham", "a")], {}, "both ham and spam"),
        (
            [("ham", "a"), ("spam", "b")],
            {"val_fraction": 0.5, "test_fraction": 0.5},
            "leaves? no|less than 1",
        ),
    ],
)
def test_bad_input(pairs, changes, words):
    with pytest.raises(BadInput, match=words):
        prepare(rows(*pairs), config(**changes))


def test_book_needs_more_ham_than_spam():
    with pytest.raises(BadInput, match="at least as many ham as spam"):
        prepare(rows(("ham", "a"), ("spam", "b"), ("spam", "c")), BOOK)


def test_book_keeps_duplicates_and_counts_the_leak():
    messages = rows(*[("ham", f"hi {letters(i)}") for i in range(100)], *[("spam", "same offer")] * 50)
    splits, report = prepare(messages, BOOK)
    assert {name: len(part) for name, part in splits.items()} == {
        "train": 70,
        "val": 10,
        "test": 20,
        "gate": 0,
    }
    spams = sum(m["label"] == "spam" for m in splits["test"])
    assert report["leakage"] == {"exact": spams, "normalised": spams, "share": spams / 20}
    assert {m["group"] for part in splits.values() for m in part if m["label"] == "spam"} == {"m100"}


def test_glue_as_book():
    three = rows(("ham", "first"), *[("ham", text + "...") for text in BOOK_GLUED], ("spam", "last"))
    glued = glue_as_book(three)
    assert [m["id"] for m in glued] == ["m0", "m1", "m4"]
    assert glued[1]["text"].count("\nham\t") == 2
    assert glue_as_book(three[:3]) == three[:3]


@pytest.mark.book
def test_the_books_split_is_reproduced():
    mirror = os.environ.get("GROUNDUP_MIRROR", "")
    source = Path(mirror) / "SMSSpamCollection"
    if not mirror or not source.is_file():
        pytest.skip("GROUNDUP_MIRROR is not set to a folder with SMSSpamCollection")
    import pandas

    lines = [line.split("\t", 1) for line in source.read_text(encoding="utf-8").split("\n") if line]
    splits, report = prepare(rows(*((label, text.strip('"')) for label, text in lines)), BOOK)
    assert {name: len(part) for name, part in splits.items()} == {
        "train": 1045,
        "val": 149,
        "test": 300,
        "gate": 0,
    }
    assert report["leakage"] == {"exact": 37, "normalised": 48, "share": 0.16}
    # the book's own code as the oracle
    frame = pandas.read_csv(source, sep="\t", header=None, names=["label", "text"])
    assert len(frame) == 5572
    spam = frame[frame["label"] == "spam"]
    ham = frame[frame["label"] == "ham"].sample(len(spam), random_state=123)
    frame = pandas.concat([ham, spam]).sample(frac=1, random_state=123)
    ours = [m for name in ("train", "val", "test") for m in splits[name]]
    assert [m["label"] for m in ours] == frame["label"].tolist()
    assert [normalise(m["text"]) for m in ours] == [normalise(text) for text in frame["text"]]
