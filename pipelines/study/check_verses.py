"""Check the pairs of verses; stop if an expectation fails or a verse of val or test occurs in train."""

from pathlib import Path

from groundup.datasets.verses import SPLITS, VersesConfig
from groundup.files import scratch_folder, write_json
from groundup.text.jsonl import read_splits
from groundup.tracking import Run
from groundup.validation.contamination import check_pairs, suite
from groundup.validation.results import add_suite, gate, summary


def main(run: Run, pairs: Path, results: Path, metrics: Path, *, verses: VersesConfig) -> None:
    """Write the results and, if every required expectation is met, the metrics, which training depends on.

    Raises:
        BadInput: an expectation fails, or a verse of val or test occurs in train; the message lists the rows.
    """
    from groundup.validation.expectations import validate_verses  # takes 5 s to import

    metrics.unlink(missing_ok=True)
    splits = read_splits(pairs, SPLITS)
    report = validate_verses(splits, verses.length_ratio)
    with scratch_folder(results) as scratch:
        found = check_pairs(splits, scratch)
    add_suite(report, suite(found))
    write_json(results, report)
    run.artifact(results, "validation")
    run.log({f"contaminated/{name}": facts["contaminated"] for name, facts in found["sets"].items()})
    gate(report, results, "the verses do not meet these expectations; repair the data or the splitting")
    write_json(metrics, summary(report) | {"contaminated": found["contaminated"]})
    run.artifact(metrics, "validation")
