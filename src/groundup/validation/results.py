"""A validation report (see groundup.validation.expectations) in numbers, and in lines for a terminal."""

import json
from pathlib import Path
from typing import Any

from groundup.errors import BadInput

Report = dict[str, Any]


def summary(report: Report) -> dict[str, Any]:
    """Return counts of each suite's rows, expectations, failures and warnings.

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
    """Return a line for each failing expectation of that severity and its first offending rows, or ""."""
    lines = []
    for suite in report["suites"]:
        for check in suite["checks"]:
            if check["success"] or check["severity"] != severity:
                continue
            found = "" if check["observed"] is None else f" Found: {check['observed']}."
            count = "" if not check["unexpected"] else f" {check['unexpected']:,} row(s) against it:"
            lines.append(f"{suite['name']}: {check['says']}{found}{count}")
            lines += [f"    {json.dumps(row, ensure_ascii=False)}" for row in check["rows"]]
    return "\n".join(lines)


def add_suite(report: Report, suite: dict[str, Any]) -> None:
    """Append a suite in place; the report then succeeds only if it does too."""
    report["suites"].append(suite)
    report["success"] = report["success"] and suite["success"]


def gate(report: Report, results: Path, sentence: str) -> None:
    """Print the warnings of a report and stop where it fails.

    Args:
        results: the file of the report; the message says how to draw a page from it.
        sentence: what is broken and what to do, such as "the data break these expectations; repair them".

    Raises:
        BadInput: a required expectation fails; the message has the offending rows.
    """
    if warnings := problems(report, "warning"):
        print(f"warnings:\n{warnings}")
    if not report["success"]:
        raise BadInput(
            f"{sentence} (`python -m groundup.reports.validation {results}` draws a page of them):\n"
            f"{problems(report)}"
        )
