"""Stage check_verses: the gate of the translation. Great Expectations on the pairs, and evaluation pairs in train."""

from pathlib import Path

from groundup.datasets.verses import SIDES, SPLITS, VersesConfig
from groundup.errors import BadInput
from groundup.files import write_json, write_text
from groundup.reports.validation import problems, render_page, summary
from groundup.text.jsonl import read_splits
from groundup.text.overlap import find_contamination
from groundup.tracking import Run
from pipelines.main.check_splits import suite


def main(run: Run, pairs: Path, results: Path, page: Path, metrics: Path, *, verses: VersesConfig) -> None:
    """Write results and page, then the metrics if all is well: training depends on them.

    Raises:
        BadInput: an expectation fails, or a verse that evaluates occurs in train; the rows are shown.
    """
    from groundup.validation.expectations import validate_verses  # takes 5 s to import

    splits = read_splits(pairs, SPLITS)
    report = validate_verses(splits, verses.length_ratio)
    found = find_contamination(
        {f"{name}/{side}": [row[side] for row in splits[name]] for name in ("val", "test") for side in SIDES},
        {side: [row[side] for row in splits["train"]] for side in SIDES},
    )
    report["suites"].append(suite(found))
    report["success"] = all(one["success"] for one in report["suites"])
    write_json(results, report)
    write_text(page, render_page(report, "Validation of the pairs of verses"))
    for path in (results, page):
        run.artifact(path, "validation")
    run.log({f"contaminated/{name}": facts["contaminated"] for name, facts in found["sets"].items()})
    if not report["success"]:
        metrics.unlink(missing_ok=True)  # later stages depend on it: no file, no way past the gate
        raise BadInput(
            f"the verses break these promises; repair the data or the splitting:\n{problems(report)}"
        )
    write_json(metrics, summary(report) | {"contaminated": found["contaminated"]})
    run.artifact(metrics, "validation")
