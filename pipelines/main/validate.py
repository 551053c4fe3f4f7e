"""Gate of the raw data: rows that break a required expectation stop the pipeline here."""

from pathlib import Path

from groundup.datasets.catalogue import DataConfig, dataset_for, load_catalogue
from groundup.files import write_json
from groundup.text.jsonl import read_jsonl
from groundup.tracking import Run
from groundup.validation.results import gate, summary


def main(
    run: Run,
    pretraining: Path,
    spam: Path,
    instructions: Path,
    results: Path,
    metrics: Path,
    *,
    data: DataConfig,
) -> None:
    """Write the results, then the metrics if every required expectation holds: later stages depend on them.

    Raises:
        BadInput: a required expectation fails; the message has the offending rows.
    """
    from groundup.validation.expectations import validate_raw  # takes 5 s to import

    metrics.unlink(missing_ok=True)
    catalogue = load_catalogue(data.catalogue)
    files = {"pretraining": pretraining, "spam": spam, "instructions": instructions}
    datasets = {role: dataset_for(role, data, catalogue) for role in files}
    report = validate_raw({role: read_jsonl(file) for role, file in files.items()}, datasets)
    counts = summary(report)
    write_json(results, report)
    run.artifact(results, "validation")
    run.log(
        {f"{role}/{key}": n for role, numbers in counts["datasets"].items() for key, n in numbers.items()}
    )
    gate(report, results, "the raw data break these expectations; repair or replace them")
    write_json(metrics, counts)
    run.artifact(metrics, "validation")
