import tempfile
from pathlib import Path

import numpy as np
import pytest

from groundup.parallel.cluster import HERE
from groundup.text import contamination, occurrences
from groundup.text.occurrences import batches_in

LONG = "please send the small green parcel to my aunt in leeds before friday at noon thanks"


def find_contamination(evaluation, training, **options):
    sets = [{name: batches_in(texts) if texts and isinstance(texts[0], str) else [texts] for name, texts in one.items()}
            for one in (evaluation, training)]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        return contamination.find_contamination(*sets, Path(folder), HERE, **options)


def test_report_counts_each_item_once_and_names_pairs():
    report = find_contamination(
        {"test": ["hello you", "HELLO YOU", f"re: {LONG}", "unseen"], "clean": ["nothing of it"]},
        {"corpus": [["hello you", LONG]], "other": ["hello you"]},
    )
    corpus = report["sets"]["test"]["training"]["corpus"]
    assert [corpus[kind] for kind in ("exact", "normalised", "13-gram")] == [1, 1, 1]
    assert report["sets"]["test"]["contaminated"] == 3 == report["contaminated"]
    assert report["sets"]["test"]["items"] == 4
    assert report["sets"]["clean"]["contaminated"] == 0
    assert {"kind": "normalised", "evaluation": "HELLO YOU", "training": "hello you"} in corpus["examples"]
    assert report["canary"] == {"exact": True, "normalised": True, "13-gram": True}


def test_the_canary_sees_a_blind_check(monkeypatch):
    nothing = (np.empty(0, np.uint64), np.empty(0, np.int64))
    monkeypatch.setattr(occurrences, "window_hashes", lambda *_: nothing)
    with pytest.raises(RuntimeError, match="13-gram canary"):
        find_contamination({"test": ["short"]}, {"train": ["other"]})


def test_digits_count_only_for_the_pairs_named():
    items, texts = ["what is 2 + 3"], ["What is 4 + 5?"]
    loose = find_contamination({"sums": items}, {"train": texts})
    strict = find_contamination(
        {"sums": items}, {"train": texts, "other": texts}, digits_count={("sums", "train")}
    )
    assert loose["contaminated"] == 1
    assert strict["sets"]["sums"]["training"]["train"]["normalised"] == 0
    assert strict["sets"]["sums"]["training"]["other"]["normalised"] == 1
