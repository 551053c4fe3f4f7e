from pathlib import Path

import pytest

from groundup.errors import BadInput
from groundup.validation.results import add_suite, gate, problems, summary
from tests.validation.by_hand import check, report


def test_lines() -> None:
    assert problems(report()).splitlines() == [
        "spam: No text contains control characters. 1,234 offending rows:",
        '    {"row": 3, "text": "<script>alert(1)</script>\\\\u0000 ü"}',
        "talk: There are 2 to 50 rows. Found: 1234.",
    ]
    assert problems(report(), "warning").splitlines() == [
        "spam: At most 10.0% of the rows repeat. 2 offending rows:",
        '    {"row": 4}',
    ]


def test_counts() -> None:
    assert summary(report()) == {
        "success": False,
        "datasets": {
            "spam": {"rows": 5574, "expectations": 3, "failed": 1, "warnings": 1},
            "talk": {"rows": 9, "expectations": 3, "failed": 1, "warnings": 0},
        },
    }


def test_the_gate_shows_rows_and_the_command_for_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BadInput) as caught:
        gate(report(), Path("found/raw.json"), "the data break these; repair them")
    first, *rows = str(caught.value).splitlines()
    assert first == (
        "the data break these; repair them (`python -m groundup.reports.validation found/raw.json` draws a page of "
        "them):"
    )
    assert "\n".join(rows) == problems(report())
    assert capsys.readouterr().out == f"warnings:\n{problems(report(), 'warning')}\n"


def test_a_suite_that_fails_fails_the_report() -> None:
    for success in (True, False):
        found = {"success": True, "suites": []}
        add_suite(found, {"name": "one", "success": success, "checks": [check("All is well.", success)]})
        assert found["success"] is success
        if success:
            gate(found, Path("raw.json"), "")
