"""Split the labelled messages: train.jsonl, val.jsonl, test.jsonl, gate.jsonl, report.json."""

from pathlib import Path

from groundup.datasets.spam import KEYS, SpamConfig, prepare_files
from groundup.tracking import Run


def main(
    run: Run, raw: Path, labelled: Path, corpus: Path, validation: Path, out: Path, *, spam: SpamConfig
) -> None:
    """Split the messages, and add the new ones in `labelled`; those in train or gate of the corpus go to train.

    `validation` is not read: as a dependency, it makes DVC run the validation first.
    """
    import pandas

    splits, report = prepare_files(raw, corpus, out, spam, labelled)
    for name, messages in splits.items():
        frame = pandas.DataFrame(messages, columns=list(KEYS))
        run.dataset(frame, f"spam-{name}", str(out / f"{name}.jsonl"), name)
        run.log({f"{name}/{key}": value for key, value in report["splits"][name].items()})
    run.log({f"dropped/{reason}": count for reason, count in report["dropped"].items()})
    run.artifact(out / "report.json")
    print(
        f"spam ({spam.protocol}): {report['splits']}, dropped {report['dropped']}, leaks {report['leakage']}, "
        f"new messages {report.get('new', 'none')}"
    )
