import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.errors import BadInput
from groundup.text.duplicates import check_loss, keep_first


def test_by_hand() -> None:
    rows = [
        {"n": n, "text": text}
        for n, text in enumerate(["Tea!", "tea", "Tea!", "milk", "tea", "MILK 1", "milk 2"])
    ]
    kept, reasons = keep_first(rows, lambda row: row["text"])
    # "tea" differs from "Tea!" only in form; the second "tea" equals a row that was itself dropped;
    # "MILK 1" and "milk 2" differ in a number
    assert [row["n"] for row in kept] == [0, 3, 5, 6]
    assert reasons == {"normalised duplicates": 1, "exact duplicates": 2}


@given(st.lists(st.sampled_from(["a", "A", "a!", "b", "B"])))
def test_one_of_each_key_stays_and_all_are_counted(texts: list[str]) -> None:
    kept, reasons = keep_first([{"text": text} for text in texts], lambda row: row["text"])
    keys = [text.lower().rstrip("!") for text in texts]
    assert [row["text"] for row in kept] == [texts[keys.index(key)] for key in dict.fromkeys(keys)]
    assert len(kept) + sum(reasons.values()) == len(texts)
    assert reasons["exact duplicates"] == len(texts) - len(set(texts))


def test_too_many_dropped_rows_are_refused() -> None:
    dropped = {"blank": 1, "never": 0, "exact duplicates": 2}
    check_loss(dropped, 4, "spam", 0.75)
    check_loss({}, 0, "spam", 0.0)
    with pytest.raises(
        BadInput, match=r"3 of 4 rows \(75\.0%\) would be dropped: 1 blank, 2 exact duplicates; spam\."
    ):
        check_loss(dropped, 4, "spam", 0.74)
