"""Validation reports (see groundup.validation.results) as pages.

`python -m groundup.reports.validation reports/validation/raw.json` draws raw.html beside the file, also of a validation
that failed and stopped its pipeline.
"""

import sys
from pathlib import Path
from typing import Any

from groundup.errors import BadInput
from groundup.files import read_json, write_text
from groundup.reports.pages import fill

TITLES = {  # by the name of the file of results
    "raw": "Validation of the raw data",
    "splits": "Validation of the prepared splits",
    "verses": "Validation of the pairs of verses",
}


def render_page(report: dict[str, Any], title: str) -> str:
    """Return the report as one HTML page."""
    return fill("validation.html.j2", {"report": report, "title": title})


def page_of(results: Path) -> str:
    """The page of a file of results.

    Raises:
        BadInput: there is no such file, or it holds something else.
    """
    try:
        report = read_json(results)
        title = TITLES.get(results.stem, f"Validation: {results.stem}")
        return render_page({"success": report["success"], "suites": report["suites"]}, title)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f"{results} holds no results of a validation ({type(error).__name__}: {error}); expected JSON as validate, "
            "check_splits and check_verses write it; run that stage first."
        ) from error


def draw_verses(metrics: Path, curves: Path, shown: Path, pictures: Path) -> str:
    """The page of what check_verses found; it has no pictures."""
    return page_of(shown / "verses.json")


def command(words: list[str]) -> None:
    """Draw the page of each file beside it; exits with one sentence where that is not possible."""
    if not words:
        sys.exit("usage: python -m groundup.reports.validation reports/validation/raw.json")
    for results in map(Path, words):
        try:
            write_text(results.with_suffix(".html"), page_of(results))
        except BadInput as error:
            sys.exit(f"error: {error}")
        print(results.with_suffix(".html"))


if __name__ == "__main__":
    command(sys.argv[1:])
