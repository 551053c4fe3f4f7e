"""Tasks for lm-evaluation-harness (Gao et al. 2024), and the table of its results.

The harness reads a folder with one YAML file per task. It runs models that `groundup export` wrote, and many others, so
grammar can be measured for each of them by code that is not ours.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from groundup.errors import BadInput
from groundup.files import atomic_path, write_text
from groundup.grammar.decisions import table
from groundup.grammar.minimal_pairs import PHENOMENA, MinimalPair
from groundup.text.jsonl import read_jsonl_file, write_jsonl

GROUP = "groundup_grammar"


def task_of(phenomenon: str) -> str:
    """Return the name of a phenomenon's task: "a and an" -> "groundup_grammar_a_and_an"."""
    return f"{GROUP}_{phenomenon.replace(' ', '_')}"


def write_tasks(folder: Path, pairs: Sequence[MinimalPair], leaked: Sequence[bool]) -> None:
    """Write a folder with the group GROUP: one task per phenomenon, whose pairs are questions with two choices.

    Both choices follow an empty context. The YAML files name the data by absolute paths, because the harness looks for
    relative ones in its working directory; if the folder moves, write it again.

    Args:
        folder: where to write; replaced if it exists.
        pairs: the minimal pairs.
        leaked: for each pair, whether its right sentence occurs in the training text.
    """
    names = list(dict.fromkeys(pair.phenomenon for pair in pairs))
    with atomic_path(folder) as written:
        written.mkdir()
        for name in names:
            task = task_of(name)
            rows = [
                {
                    "phenomenon": name,
                    "template": pair.template,
                    "good": pair.good,
                    "bad": pair.bad,
                    "leaked": found,
                }
                for pair, found in zip(pairs, leaked, strict=True)
                if pair.phenomenon == name
            ]
            write_jsonl(written / f"{task}.jsonl", rows)
            _write_yaml(written / f"{task}.yaml", _task(task, folder.absolute() / f"{task}.jsonl"))
        mean = {"metric": "acc", "aggregation": "mean", "weight_by_size": False}
        group = {"group": GROUP, "task": [*map(task_of, names)], "aggregate_metric_list": [mean]}
        _write_yaml(written / f"{GROUP}.yaml", group)


def scores(results: Path) -> dict[str, Any]:
    """Make the table of what the harness found on the tasks of `write_tasks`.

    Args:
        results: folder of `--output_path`, in which `--log_samples` left the answers, possibly in subfolders. Of
            several runs, the last one counts.

    Returns:
        As `grammar.decisions.table`, for one system: "model".

    Raises:
        BadInput: there are no answers, or a file does not have answers to these tasks.
    """
    rows = [row for phenomenon in PHENOMENA for row in _answers(results, phenomenon)]
    if not rows:
        raise BadInput(
            f"{results} has no file samples_{GROUP}_*.jsonl; expected the folder that lm-eval wrote: run it with "
            f"--tasks {GROUP} --log_samples --output_path FOLDER."
        )
    docs = [row["doc"] for row in rows]
    pairs = [MinimalPair(doc["phenomenon"], doc["template"], doc["good"], doc["bad"]) for doc in docs]
    return table(pairs, {"model": [row["acc"] == 1 for row in rows]}, [doc["leaked"] for doc in docs])


def _answers(results: Path, phenomenon: str) -> list[dict[str, Any]]:
    """Return the last run's answers to the pairs of a phenomenon; none if there was no run."""
    files = sorted(results.rglob(f"samples_{task_of(phenomenon)}_[0-9]*.jsonl"), key=lambda file: file.name)
    rows = read_jsonl_file(files[-1]) if files else []
    for row in rows:
        if "acc" not in row or row.get("doc", {}).keys() != {
            "phenomenon",
            "template",
            "good",
            "bad",
            "leaked",
        }:
            raise BadInput(
                f"{files[-1]} has no answers to minimal pairs; expected what lm-eval wrote with --log_samples on the "
                "tasks of groundup lm-eval-tasks: run it again."
            )
    return rows


def _task(name: str, data: Path) -> dict[str, Any]:
    return {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(data)}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "",
        "doc_to_target": 0,
        "doc_to_choice": "{{[good, bad]}}",
        "target_delimiter": "",
        "num_fewshot": 0,
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
        "metadata": {"version": 1.0},
    }


def _write_yaml(path: Path, value: dict[str, Any]) -> None:
    write_text(path, yaml.safe_dump(value, sort_keys=False))
