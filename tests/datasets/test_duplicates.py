from hypothesis import given
from hypothesis import strategies as st

from groundup.datasets.duplicates import keep_first


def test_by_hand() -> None:
    rows = [
        {"n": n, "text": text}
        for n, text in enumerate(["Tea!", "tea", "Tea!", "milk", "tea", "MILK 1", "milk 2"])
    ]
    kept, reasons = keep_first(rows, lambda row: row["text"])
    # "tea" differs from "Tea!" in form only, the second "tea" in nothing from a row that was itself dropped;
    # digits are alike to `normalise`
    assert [row["n"] for row in kept] == [0, 3, 5]
    assert reasons == {"normalised duplicates": 2, "exact duplicates": 2}


@given(st.lists(st.sampled_from(["a", "A", "a!", "b", "B"])))
def test_one_of_each_key_stays_and_all_are_counted(texts: list[str]) -> None:
    kept, reasons = keep_first([{"text": text} for text in texts], lambda row: row["text"], str.lower)
    keys = [text.lower() for text in texts]
    assert [row["text"] for row in kept] == [texts[keys.index(key)] for key in dict.fromkeys(keys)]
    assert len(kept) + sum(reasons.values()) == len(texts)
    assert reasons["exact duplicates"] == len(texts) - len(set(texts))
