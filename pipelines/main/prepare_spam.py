"""Split the spam messages; write train.jsonl, val.jsonl, test.jsonl, gate.jsonl and report.json."""

from pathlib import Path

from groundup.datasets.spam import SpamConfig, prepare_files
from groundup.parallel.cluster import ClusterConfig
from groundup.tracking import Run


def main(
    run: Run,
    raw: Path,
    labelled: Path,
    corpus: Path,
    validation: Path,
    out: Path,
    *,
    spam: SpamConfig,
    cluster: ClusterConfig,
) -> None:
    """Write the splits of the messages and the report to the folder `out`.

    The protocol "deduplicated" puts messages that occur in train or gate of `corpus` in train, and adds the new
    labelled messages in `labelled`. The protocol "book" does neither.

    `validation` is not read; as a dependency of the stage, it makes DVC run the stage validate first.
    """
    splits, report = prepare_files(raw, corpus, out, spam, labelled, cluster)
    for name, messages in splits.items():
        run.reads(out / f"{name}.jsonl", f"spam-{name}", name, rows=messages)
        run.log({f"{name}/{key}": value for key, value in report["splits"][name].items()})
    run.log({f"dropped/{reason}": count for reason, count in report["dropped"].items()})
    run.artifact(out / "report.json")
    print(
        f"spam ({spam.protocol}): {report['splits']}, dropped {report['dropped']}, leaks {report['leakage']}, "
        f"new messages {report.get('new', 'none')}"
    )
