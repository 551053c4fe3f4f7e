"""A validation report written by hand."""

from typing import Any


def check(says: str, success: bool = True, **changes: Any) -> dict[str, Any]:
    """One check that holds."""
    return {
        "says": says, "type": "expect_something", "severity": "critical", "success": success,
        "observed": None, "unexpected": None, "rows": [],
    } | changes  # fmt: skip


def report() -> dict[str, Any]:
    """A report with failures and warnings."""
    rows = [{"row": 3, "text": "<script>alert(1)</script>\\u0000 ü"}]
    spam = [
        check("Every label is ham or spam."),
        check("No text contains control characters.", False, unexpected=1234, rows=rows),
        check(
            "At most 10.0% of the rows repeat.", False, severity="warning", unexpected=2, rows=[{"row": 4}]
        ),
    ]
    facts = {"licence": "A <b>.", "rows": 5574}
    talk = [
        check("There are 2 to 50 rows.", False, observed=1234),
        check("The columns are id, text, in this order.", observed=["id", "text"]),
        check("At most 10.0% of the rows repeat.", unexpected=2),
    ]
    parts = {"rows in train": 7, "rows in val": 2}
    return {
        "success": False,
        "suites": [
            {"name": "spam", "facts": facts, "success": False, "checks": spam},
            {"name": "talk", "facts": parts, "success": False, "checks": talk},
        ],
    }
