"""Stage prepare_spam: raw messages -> data/prepared/spam: train.jsonl, val.jsonl, test.jsonl, report.json."""

from pathlib import Path

from groundup.datasets.spam import SpamConfig, prepare
from groundup.text.jsonl import read_jsonl, write_splits
from groundup.text.overlap import TextIndex
from groundup.tracking import Run


def main(run: Run, raw: Path, corpus: Path, validation: Path, out: Path, *, spam: SpamConfig) -> None:
    """Split the messages; those that occur in the corpus's training part are kept out of val and test."""
    import pandas

    pretraining = TextIndex(document["messages"] for document in read_jsonl(corpus / "train.jsonl"))
    splits, report = prepare(read_jsonl(raw), spam, pretraining)
    write_splits(out, splits, report)
    for name, messages in splits.items():
        run.dataset(pandas.DataFrame(messages), f"spam-{name}", str(out / f"{name}.jsonl"), name)
        run.log({f"{name}/{key}": value for key, value in report["splits"][name].items()})
    run.log({f"dropped/{reason}": count for reason, count in report["dropped"].items()})
    run.artifact(out / "report.json")
    print(
        f"spam ({spam.protocol}): {report['splits']}, dropped {report['dropped']}, leaks {report['leakage']}"
    )
