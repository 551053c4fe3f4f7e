"""Stage prepare_preferences: pairs of a chosen and a rejected answer: train.jsonl, val.jsonl and report.json."""

import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from groundup.datasets.catalogue import fetch, load_catalogue
from groundup.datasets.preferences import (
    PairsConfig,
    Row,
    preferences_named,
    split_pairs,
    with_mistakes,
    with_wrong_answers,
)
from groundup.datasets.subsets import nested_subset
from groundup.errors import BadInput
from groundup.text.jsonl import read_jsonl, read_splits, write_splits
from groundup.tracking import Run
from groundup.training.config import ComputeConfig
from groundup.verifiable.answers import check_for


def main(
    run: Run,
    instructions: Path,
    taught: Path,
    catalogue: Path,
    out: Path,
    *,
    preferences: PairsConfig,
    compute: ComputeConfig,
) -> None:
    """Make the pairs of the instructions, or fetch those of a dataset and leave out what these are tested with."""
    if preferences.source == "dataset":
        dataset = preferences_named(preferences.dataset, load_catalogue(catalogue))
        with tempfile.TemporaryDirectory() as folder:
            fetched = fetch(dataset, Path(folder, "pairs.jsonl"))
            pairs = read_jsonl(Path(folder, "pairs.jsonl"))
        run.tag("location", fetched.location)
        tested = read_splits(instructions, ("test", "held_out"))
        splits, dropped = split_pairs(pairs, preferences, [*tested["test"], *tested["held_out"]])
        read = len(pairs)
    else:
        known = read_splits(instructions, ("train", "val"))
        checks = {name: check_for(part) for name, part in known.items()}
        rows = _some(known, preferences)
        if preferences.source == "mistakes":
            answers = _answers(rows, taught, preferences, compute)
            splits = {name: with_mistakes(rows[name], answers[name], checks[name]) for name in rows}
            reason = "answered right"
        else:
            splits = {name: with_wrong_answers(rows[name], checks[name], preferences.seed) for name in rows}
            reason = "every answer right"
        for name, part in splits.items():
            if not part:
                raise BadInput(
                    f"preferences.source {preferences.source}: none of the {len(rows[name])} instructions of {name} "
                    f"gives a pair ({reason}); raise preferences.instructions or preferences.val_fraction."
                )
        read = sum(map(len, rows.values()))
        dropped = Counter({reason: read - sum(map(len, splits.values()))})
    report = {
        "source": preferences.dataset if preferences.source == "dataset" else preferences.source,
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
    run.log({f"dropped/{reason}": count for reason, count in dropped.items()})
    run.artifact(out / "report.json")
    print(f"preferences ({report['source']}): {sizes}, dropped {report['dropped']}")


def _some(rows: Mapping[str, list[dict[str, Any]]], config: PairsConfig) -> dict[str, list[dict[str, Any]]]:
    """Some instructions of each split, every family in its proportion."""
    sizes = {"train": config.instructions, "val": round(config.instructions * config.val_fraction)}
    found = {}
    for name, part in rows.items():
        try:
            chosen = nested_subset([row["family"] for row in part], min(sizes[name], len(part)), config.seed)
        except BadInput as error:
            raise BadInput(
                f"preferences.instructions is {config.instructions} and val_fraction {config.val_fraction}, which is "
                f"too few for {name}: {error}"
            ) from error
        found[name] = [part[i] for i in chosen]
    return found


def _answers(
    rows: Mapping[str, Sequence[Row]], taught: Path, config: PairsConfig, compute: ComputeConfig
) -> dict[str, list[str]]:
    """What the model says, greedily and in the prompt style that it was taught in; cut off at `max_new_tokens`."""
    from groundup.checkpoint import load_checkpoint
    from groundup.generation.prompts import Request
    from groundup.tasks.instructions import respond
    from groundup.training.devices import pick_device

    model = load_checkpoint(taught, pick_device(compute), "decoder")
    return {
        name: respond(
            model,
            [Request.of(row) for row in part],
            max_new_tokens=config.max_new_tokens,
            description=f"answer {name}",
        )
        for name, part in rows.items()
    }
