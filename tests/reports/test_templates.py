"""Every page is filled in the tests of its name, from small facts; a value that is lacking is an error there."""

import re
from pathlib import Path

import pytest

from groundup.reports import pages

FOLDER = Path(pages.__file__).with_name("templates")
PAGES = sorted(
    path.name.removesuffix(".html.j2")
    for path in FOLDER.glob("*.html.j2")
    if re.search(r"block lead", path.read_text(encoding="utf-8")) and path.name != "page.html.j2"
)


@pytest.mark.parametrize("name", PAGES)
def test_a_strict_reader_reads_the_page_in_the_tests_of_its_name(name: str) -> None:
    tests = Path(__file__).with_name(f"test_{name}.py").read_text(encoding="utf-8")
    assert "Page(" in tests, "read the page with tests.reports.html_page.Page: it fails on left-over braces"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.j2")), ids=lambda path: path.name)
def test_a_template_compiles(path: Path) -> None:
    assert pages.environment().get_template(path.name)
