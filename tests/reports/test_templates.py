"""Every template compiles, and the test module of its page fills it and reads the result strictly."""

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
def test_the_test_module_of_a_page_reads_it_strictly(name: str) -> None:
    tests = Path(__file__).with_name(f"test_{name}.py").read_text(encoding="utf-8")
    assert "Page(" in tests, "read the page with tests.reports.html_page.Page: it fails on left-over braces"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.j2")), ids=lambda path: path.name)
def test_a_template_compiles(path: Path) -> None:
    assert pages.environment().get_template(path.name)
