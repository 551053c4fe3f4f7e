"""Prepare pairs of a chosen and a rejected answer; write train.jsonl, val.jsonl and report.json."""

from functools import partial
from itertools import chain
from pathlib import Path

from groundup.datasets.preferences import JudgedPairsConfig, PairsConfig, pairs_of_dataset, pairs_of_tasks
from groundup.text.jsonl import read_jsonl, read_splits, write_splits
from groundup.tracking import Run
from groundup.training.config import ComputeConfig


def main(
    run: Run,
    downloaded: Path,
    instructions: Path,
    lora: Path,
    out: Path,
    *,
    preferences: PairsConfig,
    compute: ComputeConfig,
) -> None:
    """Make pairs from the instructions, or split the pairs of the dataset `downloaded`.

    Rejected answers to the instructions may be mistakes of the model `lora`. Pairs of the dataset are dropped if their
    request occurs in test, gate or held_out of the instructions.
    """
    from groundup.tasks.instruction_responses import answers_of

    if isinstance(preferences, JudgedPairsConfig):
        evaluated = [*chain(*read_splits(instructions, ("test", "gate", "held_out")).values())]
        splits, report = pairs_of_dataset(read_jsonl(downloaded), preferences, evaluated)
    else:
        known = read_splits(instructions, ("train", "val"))
        splits, report = pairs_of_tasks(known, preferences, answer=partial(answers_of, lora, compute))
    write_splits(out, splits, report)
    sizes = {name: len(part) for name, part in splits.items()}
    run.log({f"{name}/rows": size for name, size in sizes.items()})
    run.log({f"dropped/{reason}": count for reason, count in report["dropped"].items()})
    run.artifact(out / "report.json")
    print(f"preferences ({report['source']}): {sizes}, dropped {report['dropped']}")
