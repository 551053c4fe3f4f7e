"""Make pages of validation reports, whose format groundup.validation.expectations describes.

`python -m groundup.reports.validation reports/validation/raw.json` writes raw.html to the same folder. It also works
after a validation that failed and stopped its pipeline.
"""

import sys
from pathlib import Path
from typing import Any

from groundup.errors import BadInput
from groundup.files import read_json, write_text
from groundup.reports.pages import fill

TITLES = {  # by the stem of the results file
    "raw": "Validation of the raw data",
    "splits": "Validation of the prepared splits",
    "verses": "Validation of the pairs of verses",
}


def render_page(report: dict[str, Any], title: str) -> str:
    """Return the HTML page of a validation report."""
    return fill("validation.html.j2", {"report": report, "title": title})


def page_of(results: Path) -> str:
    """Read the file of a validation report, and return its HTML page.

    Raises:
        BadInput: the file is missing or does not contain a validation report.
    """
    try:
        report = read_json(results)
        title = TITLES.get(results.stem, f"Validation: {results.stem}")
        return render_page({"success": report["success"], "suites": report["suites"]}, title)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f"{results} does not contain results of a validation ({type(error).__name__}: {error}); expected JSON "
            f"written by validate, check_splits or check_verses: run that stage first."
        ) from error


def draw_verses(metrics: Path, curves: Path, shown: Path, pictures: Path) -> str:
    """Return the HTML of the study's page on the validation of the verses, which has no pictures.

    Args:
        metrics: not used.
        curves: not used.
        shown: folder with verses.json, the validation report of the stage check_verses.
        pictures: not used.
    """
    return page_of(shown / "verses.json")


def command(words: list[str]) -> None:
    """Write an HTML page next to each file of a validation report; on an error, exit with a message.

    Args:
        words: the arguments of the command: paths of such files.
    """
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
