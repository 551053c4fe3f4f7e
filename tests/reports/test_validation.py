from pathlib import Path
from typing import Any

import pytest

from groundup.files import read_json, write_json
from groundup.reports.validation import command, render_page
from tests.page_text import GLUED, text_of
from tests.reports.html_page import Page
from tests.validation import by_hand


@pytest.fixture
def report() -> dict[str, Any]:
    return by_hand.report()


def test_sentences_are_separated_by_a_space(report: dict[str, Any]) -> None:
    text = text_of(render_page(report, "Raw"))
    for said in (
        "There are 2 to 50 rows. Found: 1,234.",
        "in this order. Found: id, text.",
        "rows repeat. Found: 2 such rows.",
        "control characters. 1,234 unexpected rows, the first 1:",
    ):
        assert said in text, said
    assert not GLUED.findall(text)


def test_the_page_is_complete_and_escapes_values(report: dict[str, Any]) -> None:
    page = render_page(report, "Raw & checked")
    assert Page(page).headings[0] == 1
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\\u0000" in page
    assert "A &lt;b&gt;." in page
    assert "Raw &amp; checked" in page
    for outside in ("http:", "https:", "src=", "@import", "url("):
        assert outside not in page
    assert "Stopped: at least one required expectation failed." in page
    for suite in report["suites"]:
        assert all(check["says"] in page for check in suite["checks"])


def test_the_command_writes_the_page_of_a_failed_validation_to_the_same_folder(
    report: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_json(tmp_path / "splits.json", report)
    command([str(tmp_path / "splits.json")])
    page = (tmp_path / "splits.html").read_text()
    assert page == render_page(read_json(tmp_path / "splits.json"), "Validation of the prepared splits")
    assert capsys.readouterr().out == f"{tmp_path / 'splits.html'}\n"


@pytest.mark.parametrize("content", [None, "{", '{"a": 1}'])
def test_the_command_rejects_other_files_with_one_sentence(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "raw.json").write_text(content)
    with pytest.raises(SystemExit, match=r"^error: .*raw\.json does not contain results of a validation"):
        command([str(tmp_path / "raw.json")])
    assert not (tmp_path / "raw.html").exists()
