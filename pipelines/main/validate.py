"""Check the raw data, and stop the pipeline if a required expectation fails."""

from pathlib import Path

from groundup.datasets.catalogue import DataConfig, datasets_for, load_catalogue, mixture
from groundup.files import write_json
from groundup.text.jsonl import read_sample
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
    """Write the results and, if every required expectation is met, the metrics, which later stages depend on.

    Raises:
        BadInput: a required expectation fails; the message lists the offending rows.
    """
    from groundup.validation.expectations import validate_raw  # takes 5 s to import

    metrics.unlink(missing_ok=True)
    catalogue = load_catalogue(data.catalogue)
    files = {"pretraining": pretraining, "spam": spam, "instructions": instructions}
    datasets = {role: mixture(datasets_for(role, data, catalogue)) for role in files}
    report = validate_raw({role: read_sample(file) for role, file in files.items()}, datasets)
    counts = summary(report)
    write_json(results, report)
    run.artifact(results, "validation")
    run.log(
        {f"{role}/{key}": n for role, numbers in counts["datasets"].items() for key, n in numbers.items()}
    )
    gate(report, results, "the raw data do not meet these expectations; repair or replace them")
    write_json(metrics, counts)
    run.artifact(metrics, "validation")
