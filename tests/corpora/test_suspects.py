from groundup.corpora import suspects
from groundup.corpora.suspects import find_suspects
from groundup.parallel.cluster import HERE
from groundup.text.jsonl import write_splits
from groundup.validation.frames import split_frame
from tests.corpora import generated

NAMES = ("train", "val", "gate")


def test_the_rows_that_break_an_expectation_are_those_of_all_rows(tmp_path, monkeypatch):
    """The frame of all rows is the oracle: rows with an id that repeats, or a text that is in two splits."""
    monkeypatch.setattr(suspects, "PART_BYTES", 2000)
    rows = generated.documents(90)
    splits = {"train": rows[:60], "val": rows[60:], "gate": []}
    splits["val"][3] = splits["val"][3] | {"id": rows[10]["id"]}
    splits["train"][7] = splits["train"][8] | {"id": "same split"}
    write_splits(tmp_path / "corpus", splits, {})
    found = find_suspects(tmp_path / "corpus", NAMES, HERE, keep_digits=False)
    assert found.sizes == {name: len(part) for name, part in splits.items()}
    whole, some = split_frame("pretraining", splits), split_frame("pretraining", found.rows)
    broken = whole["id"].duplicated(keep=False) | (whole["_splits_of_text"] > 1)
    broken["train 1"] = broken["val 1"] = True
    assert 5 < broken.sum() < 40
    assert some.equals(whole[broken])
