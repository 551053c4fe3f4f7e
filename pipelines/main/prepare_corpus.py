"""Clean, deduplicate and split the pretraining text; write train.jsonl, val.jsonl, gate.jsonl and report.json."""

from pathlib import Path

from groundup.corpora.preparing import prepare
from groundup.datasets.corpus import CorpusConfig
from groundup.parallel.cluster import ClusterConfig
from groundup.tracking import Run


def main(
    run: Run, raw: Path, validation: Path, out: Path, *, corpus: CorpusConfig, cluster: ClusterConfig
) -> None:
    """Write the splits of the corpus and the report to the folder `out`.

    `validation` is not read; as a dependency of the stage, it makes DVC run the stage validate first.
    """
    report = prepare(raw, corpus, out, cluster)
    for name, counts in report["splits"].items():
        run.reads(out / f"{name}.jsonl", f"corpus-{name}", name)
        run.log({f"{name}/{key}": value for key, value in counts.items()})
    run.log({f"dropped/{reason}": count for reason, count in report["dropped"].items()})
    run.artifact(out / "report.json")
    print(f"corpus: {report['splits']}, dropped {report['dropped']}")
