"""Clean, deduplicate and split the pretraining text: train.jsonl, val.jsonl, gate.jsonl, report.json."""

from pathlib import Path

from groundup.datasets.corpus import CorpusConfig, prepare
from groundup.text.documents import text_of
from groundup.text.jsonl import read_jsonl, write_splits
from groundup.tracking import Run


def main(run: Run, raw: Path, validation: Path, out: Path, *, corpus: CorpusConfig) -> None:
    """Clean, deduplicate and split the corpus.

    `validation` is not read: as a dependency, it makes DVC run the validation first.
    """
    import pandas

    splits, report = prepare(read_jsonl(raw), corpus)
    write_splits(out, splits, report)
    for name, side in splits.items():
        texts = [text_of(document["messages"]) for document in side]
        frame = pandas.DataFrame({"id": [document["id"] for document in side], "text": texts})
        run.dataset(frame, f"corpus-{name}", str(out / f"{name}.jsonl"), name)
        run.log({f"{name}/{key}": value for key, value in report["splits"][name].items()})
    run.log({f"dropped/{reason}": count for reason, count in report["dropped"].items()})
    run.artifact(out / "report.json")
    print(f"corpus: {report['splits']}, dropped {report['dropped']}")
