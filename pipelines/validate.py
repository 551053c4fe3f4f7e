"""Stage validate: the gate. Rows that break a required expectation stop the pipeline here."""

import json
from pathlib import Path

from groundup.atomic import atomic_path
from groundup.datasets.catalogue import DataConfig, dataset_for, load_catalogue
from groundup.datasets.jsonl import read_jsonl
from groundup.errors import BadInput
from groundup.params import load_params
from groundup.tracking import Run
from groundup.validation_page import problems, render_page, summary, to_json
from pipelines.stage import run_stage


def main(
    run: Run,
    pretraining: Path,
    spam: Path,
    instructions: Path,
    results: Path,
    page: Path,
    metrics: Path,
    *,
    data: DataConfig,
) -> None:
    """Write results and page, then metrics if every required expectation holds.

    Raises:
        BadInput: a required expectation fails; the message has the offending rows.
    """
    from groundup.expectations import validate_raw  # takes 5 s to import

    catalogue = load_catalogue(data.catalogue)
    files = {"pretraining": pretraining, "spam": spam, "instructions": instructions}
    datasets = {role: dataset_for(role, data, catalogue) for role in files}
    report = validate_raw({role: read_jsonl(file) for role, file in files.items()}, datasets)
    counts = summary(report)
    _write(run, results, to_json(report))
    _write(run, page, render_page(report, "Validation of the raw data"))
    run.log(
        {f"{role}/{key}": n for role, numbers in counts["datasets"].items() for key, n in numbers.items()}
    )
    if warnings := problems(report, "warning"):
        print(f"warnings:\n{warnings}")
    if not report["success"]:
        metrics.unlink(missing_ok=True)  # later stages depend on it: no file, no way past the gate
        raise BadInput(f"the raw data break these expectations; repair or replace them:\n{problems(report)}")
    _write(run, metrics, json.dumps(counts, indent=2, sort_keys=True) + "\n")


def _write(run: Run, path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    run.artifact(path, "validation")


if __name__ == "__main__":
    params = load_params(Path("params.yaml"))
    run_stage(main, data=params.data)
