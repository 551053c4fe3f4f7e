"""Split the spam messages as the book does (balanced), for comparison with the accuracy that the book reports."""

from pathlib import Path

from groundup.datasets.spam import SpamConfig, prepare_files
from groundup.tracking import Run


def main(run: Run, raw: Path, corpus: Path, validation: Path, out: Path, *, book_spam: SpamConfig) -> None:
    """Write the splits, and a report that counts the test messages that are also in train.

    `validation` is not read; as a dependency of the stage, it makes DVC run the stage validate first.
    """
    splits, report = prepare_files(raw, corpus, out, book_spam)
    for name, messages in splits.items():
        run.reads(out / f"{name}.jsonl", f"spam-{name}", name, rows=messages)
        run.log({f"{name}/{key}": value for key, value in report["splits"][name].items()})
    run.log({f"dropped/{reason}": count for reason, count in report["dropped"].items()})
    run.artifact(out / "report.json")
    print(f"spam ({book_spam.protocol}): {report['splits']}, dropped {report['dropped']}")
