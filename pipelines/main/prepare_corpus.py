"""Clean, deduplicate and split the pretraining text; write train.jsonl, val.jsonl, gate.jsonl and report.json."""

from pathlib import Path

from groundup.datasets.corpus import CorpusConfig, prepare
from groundup.text.jsonl import read_jsonl, write_splits
from groundup.tracking import Run


def main(run: Run, raw: Path, validation: Path, out: Path, *, corpus: CorpusConfig) -> None:
    """Write the splits of the corpus and the report to the folder `out`.

    `validation` is not read; as a dependency of the stage, it makes DVC run the stage validate first.
    """
    splits, report = prepare(read_jsonl(raw), corpus)
    write_splits(out, splits, report)
    for name, side in splits.items():
        run.reads(out / f"{name}.jsonl", f"corpus-{name}", name, rows=side)
        run.log({f"{name}/{key}": value for key, value in report["splits"][name].items()})
    run.log({f"dropped/{reason}": count for reason, count in report["dropped"].items()})
    run.artifact(out / "report.json")
    print(f"corpus: {report['splits']}, dropped {report['dropped']}")
