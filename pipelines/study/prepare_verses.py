"""Pair the verses of both Bibles and split them by chapter; write train, val and test.jsonl, and report.json."""

from pathlib import Path

from groundup.datasets.verses import VersesConfig, prepare
from groundup.text.jsonl import read_jsonl, write_splits
from groundup.tracking import Run


def main(run: Run, king_james: Path, basic: Path, out: Path, *, verses: VersesConfig) -> None:
    """Align, clean and split the verses. The source is King James English, the target Basic English."""
    splits, report = prepare(read_jsonl(king_james), read_jsonl(basic), verses)
    write_splits(out, splits, report)
    for name, pairs in splits.items():
        run.reads(out / f"{name}.jsonl", f"verses-{name}", name, rows=pairs)
        run.log({f"{name}/{key}": value for key, value in report["splits"][name].items()})
    run.log({f"dropped/{reason.replace(',', '')}": count for reason, count in report["dropped"].items()})
    run.artifact(out / "report.json")
    print(f"verses: {report['splits']}, dropped {report['dropped']}")
