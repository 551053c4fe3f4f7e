"""A validation report (see groundup.validation.expectations) for people: a page, lines for a terminal, counts."""

import json
from typing import Any

from groundup.reports.pages import fill

Report = dict[str, Any]


def render_page(report: Report, title: str) -> str:
    """Return the report as one HTML page."""
    return fill("reports/templates/validation.html.j2", {}, {"report": report, "title": title})


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
