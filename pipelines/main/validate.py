"""Stage validate: the gate. Rows that break a required expectation stop the pipeline here."""

from pathlib import Path

from groundup.datasets.catalogue import DataConfig, dataset_for, load_catalogue
from groundup.errors import BadInput
from groundup.files import write_json, write_text
from groundup.reports.validation import problems, render_page, summary
from groundup.text.jsonl import read_jsonl
from groundup.tracking import Run


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
    from groundup.validation.expectations import validate_raw  # takes 5 s to import

    catalogue = load_catalogue(data.catalogue)
    files = {"pretraining": pretraining, "spam": spam, "instructions": instructions}
    datasets = {role: dataset_for(role, data, catalogue) for role in files}
    report = validate_raw({role: read_jsonl(file) for role, file in files.items()}, datasets)
    counts = summary(report)
    write_json(results, report)
    write_text(page, render_page(report, "Validation of the raw data"))
    for path in (results, page):
        run.artifact(path, "validation")
    run.log(
        {f"{role}/{key}": n for role, numbers in counts["datasets"].items() for key, n in numbers.items()}
    )
    if warnings := problems(report, "warning"):
        print(f"warnings:\n{warnings}")
    if not report["success"]:
        metrics.unlink(missing_ok=True)  # later stages depend on it: no file, no way past the gate
        raise BadInput(f"the raw data break these expectations; repair or replace them:\n{problems(report)}")
    write_json(metrics, counts)
    run.artifact(metrics, "validation")
