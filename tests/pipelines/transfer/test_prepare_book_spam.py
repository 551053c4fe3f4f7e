from pathlib import Path

from groundup.datasets.spam import BookSpamConfig
from groundup.text.jsonl import read_splits, write_jsonl
from groundup.tracking import silent
from pipelines.transfer.prepare_book_spam import main
from tests.pipelines.prepared import make_corpus, read_json


def test_as_many_ham_as_spam_and_duplicates_stay(tmp_path: Path) -> None:
    make_corpus(tmp_path)
    rows = [
        {"id": str(i), "label": "spam" if i < 20 else "ham", "text": f"{'win' if i < 20 else 'hi'} {i % 10}"}
        for i in range(60)
    ]
    write_jsonl(tmp_path / "spam.jsonl", rows)
    paths = (tmp_path / name for name in ("spam.jsonl", "corpus", "contamination.json", "out"))
    main(silent(), *paths, book_spam=BookSpamConfig("book"))
    splits = read_splits(tmp_path / "out", ("train", "val", "test"))
    labels = [row["label"] for part in splits.values() for row in part]
    assert (labels.count("ham"), labels.count("spam")) == (20, 20)
    report = read_json(tmp_path / "out/report.json")
    assert isinstance(report, dict)
    assert report["leakage"]["exact"] > 0
