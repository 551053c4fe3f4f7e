"""Rows that a model was trained on and near duplicates are left out and counted."""

from groundup.promotion.rows import fingerprints, independent, spread, unseen


def text_of(row: dict[str, str]) -> str:
    return row["text"]


def test_rows_of_either_model_are_left_out_and_counted() -> None:
    rows = [{"text": text} for text in ("Win 500 now!", "See you", "Hello", "What is 1 + 1?")]
    champion = fingerprints(["WIN 900 NOW", "a training text"], keep_digits=False)
    challenger = fingerprints(["hello!!"], keep_digits=False)
    kept, left_out = unseen(rows, text_of, champion, challenger, keep_digits=False)
    assert [row["text"] for row in kept] == ["See you", "What is 1 + 1?"]
    assert left_out == 2
    assert unseen(rows, text_of, keep_digits=False) == (rows, 0)


def test_numbers_count_where_texts_differ_only_in_numbers() -> None:
    rows = [{"text": "What is 1 + 1?"}]
    for trained, left_out in ((["What is 2 + 3?"], 0), (["what is 1 1"], 1)):
        assert unseen(rows, text_of, fingerprints(trained, keep_digits=True), keep_digits=True)[1] == left_out
    assert (
        unseen(rows, text_of, fingerprints(["What is 2 + 3?"], keep_digits=False), keep_digits=False)[1] == 1
    )


def test_one_row_of_each_campaign() -> None:
    campaign = (
        "You have won a guaranteed prize of 500 pounds! Call 0900 {} now, ask for {} and quote code X{}"
    )
    texts = ["Hello", campaign.format(1, "Ann", 7), "See you", campaign.format(2, "Ann", 8), "HELLO!"]
    kept, left_out = independent([{"text": text} for text in texts], text_of)
    assert ([row["text"] for row in kept], left_out) == (texts[:3], 2)
    assert independent([], text_of) == ([], 0)


def test_spread() -> None:
    rows = [{"id": i} for i in range(10)]
    assert [row["id"] for row in spread(rows, 4)] == [0, 2, 5, 7]
    assert spread(rows, 99) == rows and spread([], 4) == []
