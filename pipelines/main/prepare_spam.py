"""Split the labelled messages: train.jsonl, val.jsonl, test.jsonl, report.json."""

from pathlib import Path

from groundup.datasets.spam import SpamConfig, prepare_files
from groundup.tracking import Run


def main(run: Run, raw: Path, corpus: Path, validation: Path, out: Path, *, spam: SpamConfig) -> None:
    """Split the messages; those in the training split of the corpus go to train.

    `validation` is not read: as a dependency, it makes DVC run the validation first.
    """
    import pandas

    splits, report = prepare_files(raw, corpus, out, spam)
    for name, messages in splits.items():
        run.dataset(pandas.DataFrame(messages), f"spam-{name}", str(out / f"{name}.jsonl"), name)
        run.log({f"{name}/{key}": value for key, value in report["splits"][name].items()})
    run.log({f"dropped/{reason}": count for reason, count in report["dropped"].items()})
    run.artifact(out / "report.json")
    print(
        f"spam ({spam.protocol}): {report['splits']}, dropped {report['dropped']}, leaks {report['leakage']}"
    )
