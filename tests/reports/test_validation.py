"""A report as a page, as lines and as counts, from a report written by hand."""

from typing import Any

import pytest

from groundup.reports.validation import problems, render_page, summary
from tests.page_text import GLUED, text_of


def check(says: str, success: bool = True, **changes: Any) -> dict[str, Any]:
    return {
        "says": says, "type": "expect_something", "severity": "critical", "success": success,
        "observed": None, "unexpected": None, "rows": [],
    } | changes  # fmt: skip


@pytest.fixture
def report() -> dict[str, Any]:
    rows = [{"row": 3, "text": "<script>alert(1)</script>\\u0000 ü"}]
    spam = [
        check("Every label is ham or spam."),
        check("No text holds control characters.", False, unexpected=1234, rows=rows),
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


def test_lines(report: dict[str, Any]) -> None:
    assert problems(report).splitlines() == [
        "spam: No text holds control characters. 1,234 row(s) against it:",
        '    {"row": 3, "text": "<script>alert(1)</script>\\\\u0000 ü"}',
        "talk: There are 2 to 50 rows. Found: 1234.",
    ]
    assert problems(report, "warning").splitlines() == [
        "spam: At most 10.0% of the rows repeat. 2 row(s) against it:",
        '    {"row": 4}',
    ]


def test_counts(report: dict[str, Any]) -> None:
    assert summary(report) == {
        "success": False,
        "datasets": {
            "spam": {"rows": 5574, "expectations": 3, "failed": 1, "warnings": 1},
            "talk": {"rows": 9, "expectations": 3, "failed": 1, "warnings": 0},
        },
    }


def test_sentences_have_a_blank_between_them(report: dict[str, Any]) -> None:
    text = text_of(render_page(report, "Raw"))
    for said in (
        "There are 2 to 50 rows. Found: 1,234.",
        "in this order. Found: id, text.",
        "rows repeat. Found: 2 such rows.",
        "control characters. 1,234 rows against it, the first 1:",
    ):
        assert said in text, said
    assert not GLUED.findall(text)


def test_page_is_whole_and_escapes(report: dict[str, Any]) -> None:
    page = render_page(report, "Raw & checked")
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\\u0000" in page
    assert "A &lt;b&gt;." in page
    assert "Raw &amp; checked" in page
    for outside in ("http:", "https:", "src=", "@import", "url("):
        assert outside not in page
    assert "Stopped: at least one required expectation fails." in page
    for suite in report["suites"]:
        assert all(check["says"] in page for check in suite["checks"])
