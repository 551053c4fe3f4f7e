"""Turn a validation report (see groundup.validation.expectations) into metrics, lines of text or an error."""

import json
from pathlib import Path
from typing import Any

from groundup.errors import BadInput
from groundup.text.counts import counted

Report = dict[str, Any]


def summary(report: Report) -> dict[str, Any]:
    """Count the rows, expectations, failures and warnings of each suite of a validation report.

    Returns:
        {"datasets": {suite: {"rows", "expectations", "failed", "warnings"}}, "success": bool}
    """
    datasets = {}
    for suite in report["suites"]:
        failing = [check["severity"] for check in suite["checks"] if not check["success"]]
        datasets[suite["name"]] = {
            "rows": sum(count for fact, count in suite["facts"].items() if fact.startswith("rows")),
            "expectations": len(suite["checks"]),
            "failed": sum(severity != "warning" for severity in failing),
            "warnings": sum(severity == "warning" for severity in failing),
        }
    return {"datasets": datasets, "success": report["success"]}


def problems(report: Report, severity: str = "critical") -> str:
    """Return one line per failed expectation of a severity, followed by its first offending rows; "" if none failed."""
    lines = []
    for suite in report["suites"]:
        for check in suite["checks"]:
            if check["success"] or check["severity"] != severity:
                continue
            found = "" if check["observed"] is None else f" Found: {check['observed']}."
            count = "" if not check["unexpected"] else f" {counted(check['unexpected'], 'offending row')}:"
            lines.append(f"{suite['name']}: {check['says']}{found}{count}")
            lines += [f"    {json.dumps(row, ensure_ascii=False)}" for row in check["rows"]]
    return "\n".join(lines)


def add_suite(report: Report, suite: dict[str, Any]) -> None:
    """Append a suite to a validation report, in place; the report succeeds only if all its suites do."""
    report["suites"].append(suite)
    report["success"] = report["success"] and suite["success"]


def gate(report: Report, results: Path, sentence: str) -> None:
    """Print the warnings of a validation report, and stop the pipeline if the report failed.

    Args:
        report: the report.
        results: the file of the report; the message explains how to draw a page from it.
        sentence: the fault and the remedy, such as "the data break these expectations; repair them".

    Raises:
        BadInput: a required expectation failed; the message lists the offending rows.
    """
    if warnings := problems(report, "warning"):
        print(f"warnings:\n{warnings}")
    if not report["success"]:
        raise BadInput(
            f"{sentence} (`python -m groundup.reports.validation {results}` draws a page of them):\n"
            f"{problems(report)}"
        )
