"""Rows that a model was trained on and near duplicates are left out and counted."""

from groundup.promotion.rows import independent, spread, unseen
from groundup.text.fingerprints import fingerprints


def text_of(row: dict[str, str]) -> str:
    return row["text"]


def test_rows_of_either_model_are_left_out_and_counted() -> None:
    rows = [{"text": text} for text in ("Win 500 now!", "See you", "Hello", "What is 1 + 1?")]
    champion = fingerprints([{"text": "WIN 900 NOW"}, {"text": "a training text"}])
    challenger = fingerprints([{"text": "hello!!"}])
    kept, left_out = unseen(rows, champion, challenger)
    assert [row["text"] for row in kept] == ["See you", "What is 1 + 1?"]
    assert left_out == 2
    assert unseen(rows) == (rows, 0)


def test_one_row_of_each_campaign() -> None:
    campaign = (
        "You have won a guaranteed prize of 500 pounds! Call 0900 {} now, ask for {} and quote code X{}"
    )
    texts = ["Win £5", campaign.format(1, "Ann", 7), "See you", campaign.format(2, "Ann", 8), "WIN £1,000!"]
    kept, left_out = independent([{"text": text} for text in texts], text_of)
    assert ([row["text"] for row in kept], left_out) == (texts[:3], 2)
    assert independent([], text_of) == ([], 0)


def test_spread() -> None:
    rows = [{"id": i} for i in range(10)]
    assert [row["id"] for row in spread(rows, 4)] == [0, 2, 5, 7]
    assert spread(rows, 99) == rows and spread([], 4) == []
