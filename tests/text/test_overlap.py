import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.text import overlap as contamination
from groundup.text.overlap import (
    TextIndex,
    joined,
    linked_groups,
    ngrams,
    normalise,
    without_digits,
)

LONG = "please send the small green parcel to my aunt in leeds before friday at noon thanks"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("WIN £1,000 now!!", "win 0 000 now"),
        ("  It's\tOK_then\n", "it s ok then"),
        ("Straße", "strasse"),
        ("ﬁne Ｆｕｌｌ ４２", "fine full 00"),
        (":-) :(", ":-):("),
        ("", ""),
    ],
)
def test_normalise_table(text, expected):
    assert normalise(text) == expected


@given(st.text())
def test_normalise_is_idempotent_on_words_and_blind_to_case(text):
    once = normalise(text)
    assert normalise(once) == once
    assert normalise(f" {text} ") == once


@given(st.text(alphabet=st.characters(max_codepoint=127)), st.booleans())
def test_the_ascii_shortcut_equals_the_general_way(text, keep_digits):
    folded = text.casefold()
    words = contamination._WORD.findall(folded if keep_digits else contamination._DIGIT.sub("0", folded))
    assert normalise(text, keep_digits=keep_digits) == (" ".join(words) or "".join(text.casefold().split()))


@given(st.lists(st.text(st.sampled_from("aB1٣ ①_-\u0301é\n."), max_size=5), max_size=4))
def test_lines_and_digits_may_be_normalised_apart(lines):
    parts = [normalise(line, keep_digits=True) for line in lines]
    assert joined(parts) == normalise("\n".join(lines), keep_digits=True)
    assert without_digits(joined(parts)) == normalise("\n".join(lines))


def test_keep_digits_distinguishes_sums():
    assert normalise("What is 2 + 3?") == normalise("what is 4+5")
    assert normalise("What is 2 + 3?", keep_digits=True) != normalise("what is 4+5", keep_digits=True)


def test_ngrams():
    assert ngrams("a b, C d", n=3) == {"a b c", "b c d"}
    assert ngrams("a b", n=3) == set()


def test_find_each_kind_in_a_conversation():
    index = TextIndex([["hi there", LONG], "a whole text"])
    assert index.find("hi there").kind == "exact"
    assert index.find("Hi there!").kind == "normalised"
    assert index.find(f"hi there\n{LONG}").kind == "exact"
    inside = index.find("Oh: " + LONG + " bye")
    assert inside.kind == "13-gram" and LONG in inside.training
    assert index.find("there " + " ".join(LONG.split()[:12])).kind == "13-gram"  # across two messages
    assert index.find("oh " + " ".join(LONG.split()[:12])) is None
    assert index.find("whole text") is None
    assert index.find("") is None


def test_windows_do_not_cross_texts():
    words = LONG.split()
    index = TextIndex([" ".join(words[:8]), " ".join(words[8:])])
    assert index.find("x " + LONG) is None


@given(st.lists(st.lists(st.sampled_from("abc"), max_size=12).map(" ".join), max_size=6), st.data())
def test_find_equals_a_search_with_sets(texts, data):
    item = " ".join(data.draw(st.lists(st.sampled_from("abc"), max_size=12)))
    hit = TextIndex(texts, n=4).find(item)
    if item in texts:
        expected = "exact"
    elif item and normalise(item) in {normalise(text) for text in texts}:
        expected = "normalised"
    else:
        expected = "13-gram" if any(ngrams(item, 4) & ngrams(text, 4) for text in texts) else None
    assert (hit.kind if hit else None) == expected


@given(st.lists(st.lists(st.sampled_from("ab"), max_size=8).map(" ".join), max_size=8))
def test_linked_groups_equal_a_search_for_components(texts):
    grams = [ngrams(text, 3) for text in texts]
    group = list(range(len(texts)))
    for _ in texts:  # give linked texts their smallest number until nothing changes
        for i in range(len(texts)):
            for j in range(len(texts)):
                if grams[i] & grams[j] or texts[i] == texts[j]:
                    group[i] = group[j] = min(group[i], group[j])
    assert linked_groups(texts, 3) == group


def test_planted_leaks_are_found_among_many_texts():
    rng = random.Random(0)
    words = [a + b + "x" for a in "abcdefghijklmnopqrstuvwxyz" for b in "abcdefghijklmnopqrs"]
    training = [" ".join(rng.choices(words, k=20)) for _ in range(2000)]
    items = [" ".join(rng.choices(words, k=20)) for _ in range(300)]
    leaks = rng.sample(range(300), 25)
    for number in leaks:
        at = rng.randrange(7)
        training.append("before " + " ".join(items[number].split()[at : at + 13]) + " after")
    index = TextIndex(training)
    assert [number for number, item in enumerate(items) if index.find(item)] == sorted(leaks)
