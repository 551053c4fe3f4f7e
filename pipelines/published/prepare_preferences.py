"""Stage prepare_preferences: pairs of a chosen and a rejected answer: train.jsonl, val.jsonl and report.json."""

import tempfile
from collections import Counter
from pathlib import Path

from groundup.datasets.answers import check_for
from groundup.datasets.catalogue import fetch, load_catalogue
from groundup.datasets.jsonl import read_jsonl, read_splits, write_splits
from groundup.datasets.preferences import (
    VERIFIABLE,
    PairsConfig,
    preferences_named,
    split_pairs,
    with_wrong_answers,
)
from groundup.published_params import load_published_params
from groundup.tracking import Run
from pipelines.stage import run_stage


def main(run: Run, instructions: Path, catalogue: Path, out: Path, *, preferences: PairsConfig) -> None:
    """Make the pairs of the instructions, or fetch those of a dataset and leave out what these are tested with."""
    if preferences.source == VERIFIABLE:
        rows = read_splits(instructions, ("train", "val"))
        splits = {
            name: with_wrong_answers(part, check_for(part), preferences.seed) for name, part in rows.items()
        }
        read = sum(map(len, rows.values()))
        dropped = Counter({"every answer right": read - sum(map(len, splits.values()))})
    else:
        dataset = preferences_named(preferences.source, load_catalogue(catalogue))
        with tempfile.TemporaryDirectory() as folder:
            fetched = fetch(dataset, Path(folder, "pairs.jsonl"))
            pairs = read_jsonl(Path(folder, "pairs.jsonl"))
        run.tag("location", fetched.location)
        tested = read_splits(instructions, ("test", "held_out"))
        splits, dropped = split_pairs(pairs, preferences, [*tested["test"], *tested["held_out"]])
        read = len(pairs)
    report = {
        "source": preferences.source,
        "read": read,
        "dropped": dict(+dropped),
        "splits": {
            name: {"rows": len(part), "families": dict(Counter(pair["family"] for pair in part))}
            for name, part in splits.items()
        },
    }
    write_splits(out, splits, report)
    sizes = {name: len(part) for name, part in splits.items()}
    run.log({f"{name}/rows": size for name, size in sizes.items()})
    run.artifact(out / "report.json")
    print(f"preferences ({preferences.source}): {sizes}, dropped {report['dropped']}")


if __name__ == "__main__":
    params = load_published_params(Path("params.yaml"), Path("pipelines/published/params.yaml"))
    run_stage(main, preferences=params.preferences)
