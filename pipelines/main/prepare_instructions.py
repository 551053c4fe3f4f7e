"""Split the instructions; write train.jsonl, val.jsonl, test.jsonl, gate.jsonl, held_out.jsonl and report.json.

The families of tasks in held_out.jsonl occur in no other split.
"""

from functools import partial
from pathlib import Path

from groundup.datasets.instructions import InstructionsConfig, prepare
from groundup.files import scratch_folder
from groundup.parallel.cluster import ClusterConfig
from groundup.text.jsonl import read_jsonl, write_splits
from groundup.text.occurrences import Batch, batches_in, batches_of, kinds_of
from groundup.tracking import Run


def main(
    run: Run,
    raw: Path,
    corpus: Path,
    spam: Path,
    validation: Path,
    out: Path,
    *,
    instructions: InstructionsConfig,
    cluster: ClusterConfig,
) -> None:
    """Write the splits of the instructions and the report to the folder `out`.

    Rows that occur in train or gate of `corpus` or `spam` are dropped from the evaluation splits by the protocol
    "deduplicated", and counted as leaks by "book".

    `validation` is not read; as a dependency of the stage, it makes DVC run the stage validate first.
    """
    earlier: list[Batch] = []
    for split in ("train", "gate"):
        earlier += batches_of(corpus / f"{split}.jsonl")
        earlier += batches_in(message["text"] for message in read_jsonl(spam / f"{split}.jsonl"))
    with scratch_folder(out) as scratch:
        search = partial(kinds_of, training=earlier, folder=scratch, cluster=cluster)
        splits, report = prepare(read_jsonl(raw), instructions, search)
    write_splits(out, splits, report)
    for name, rows in splits.items():
        run.reads(out / f"{name}.jsonl", f"instructions-{name}", name, rows=rows)
        run.log({f"{name}/rows": len(rows)})
    run.log({f"dropped/{reason}": count for reason, count in report["dropped"].items()})
    run.artifact(out / "report.json")
    sizes = {name: len(rows) for name, rows in splits.items()}
    print(
        f"instructions ({instructions.protocol}): {sizes}, dropped {report['dropped']}, leaks {report['leaks']}"
    )
