import json

import pytest

from groundup.datasets.spam import BookSpamConfig, DeduplicatedSpamConfig
from groundup.parallel.cluster import HERE
from groundup.text.jsonl import read_jsonl, read_splits, write_jsonl
from groundup.tracking import silent
from pipelines.main.prepare_spam import main

CONFIG = DeduplicatedSpamConfig(
    protocol="deduplicated",
    val_fraction=0.1,
    test_fraction=0.2,
    gate_fraction=0.1,
    balance="none",
    near_duplicates=None,
    max_dropped_share=1,
    seed=1,
)
LETTERS = [a + b for a in "abcdefgh" for b in "abcde"]
KNOWN = {f"hello {x}" for x in LETTERS[:30]}


@pytest.fixture
def paths(tmp_path):
    """The stage's arguments: raw messages, new ones (none), a corpus with 30 of the hams, the gate, out."""
    rows = [{"id": f"h{x}", "label": "ham", "text": f"hello {x}"} for x in LETTERS]
    rows += [{"id": f"s{x}", "label": "spam", "text": f"win {x}"} for x in LETTERS]
    write_jsonl(tmp_path / "raw.jsonl", rows)
    (tmp_path / "labelled").mkdir()
    for split, messages in (
        ("train", sorted(KNOWN)),
        ("val", ["good day", "sir"]),
        ("gate", ["good night", "sir"]),
    ):
        write_jsonl(tmp_path / "corpus" / f"{split}.jsonl", [{"id": split, "messages": messages}])
    return [tmp_path / name for name in ("raw.jsonl", "labelled", "corpus", "absent.json", "out")]


def test_messages_of_the_corpus_are_not_evaluated(paths):
    main(silent(), *paths, spam=CONFIG, cluster=HERE)
    splits = read_splits(paths[-1], ("train", "val", "test", "gate"))
    assert {row["text"] for row in splits["train"]} >= KNOWN
    sizes = [len(part) for part in splits.values()]
    # val has two hams instead of four, and gate none: ten were free, test took eight
    assert sizes == [54, 6, 16, 4]
    assert json.loads((paths[-1] / "report.json").read_text())["kept_in_train"] == 30
    assert list(splits["test"][0]) == ["id", "label", "text", "group"]


def test_new_messages_go_where_they_were_assigned(paths):
    main(silent(), *paths, spam=CONFIG, cluster=HERE)
    before = read_splits(paths[-1], ("train", "val", "test", "gate"))
    tested = before["test"][0]["text"]
    new = [("ham", "quite new", "train"), ("spam", "cash for you", "gate"), ("ham", tested.upper(), "train"),
           ("ham", "Good day, sir!", "train"), ("ham", "hello aa", "gate")]  # fmt: skip
    rows = [
        {"id": f"n{i}", "label": label, "text": text, "split": split}
        for i, (label, text, split) in enumerate(new)
    ]
    write_jsonl(paths[1] / "first.jsonl", rows)
    main(silent(), *paths, spam=CONFIG, cluster=HERE)
    after = read_splits(paths[-1], before)
    assert (after["val"], after["test"]) == (before["val"], before["test"])
    for split, row in (("train", rows[0]), ("gate", rows[1])):
        added = {key: row[key] for key in ("id", "label", "text")} | {
            "group": row["id"],
            "increment": "first",
        }
        assert after[split] == [*before[split], added]
    report = json.loads((paths[-1] / "report.json").read_text())
    assert report["new"] == {
        "rows": 5,
        "train": 1,
        "gate": 1,
        "dropped": {"copies or near duplicates of evaluation texts": 2, "duplicates of known messages": 1},
    }
    assert report["splits"]["gate"]["messages"] == len(after["gate"])


def test_the_book_takes_no_new_messages_and_reads_no_corpus(paths):
    raw = read_jsonl(paths[0])
    write_jsonl(paths[0], [*raw, {"id": "more", "label": "ham", "text": "one more"}])
    write_jsonl(
        paths[1] / "first.jsonl", [{"id": "n", "label": "ham", "text": "quite new", "split": "train"}]
    )
    (paths[2] / "gate.jsonl").unlink()
    main(silent(), *paths, spam=BookSpamConfig("book"), cluster=HERE)
    splits = read_splits(paths[-1], ("train", "val", "test", "gate"))
    assert [len(part) for part in splits.values()] == [56, 8, 16, 0]
    assert "quite new" not in {row["text"] for part in splits.values() for row in part}
