import pytest

from groundup.reports import pages


def test_fills_a_template_with_the_common_style():
    report = {"success": True, "suites": []}
    page = pages.fill("templates/validation.html.j2", {}, {"report": report, "title": "a < b"})
    assert "<h1>a &lt; b</h1>" in page and "color-scheme: light dark" in page and page.endswith("</html>\n")


def test_a_value_that_is_lacking_is_an_error():
    from jinja2 import UndefinedError

    with pytest.raises(UndefinedError, match="report"):
        pages.fill("templates/validation.html.j2", {}, {"title": ""})


def test_a_picture_as_an_address(tmp_path):
    (tmp_path / "a.png").write_bytes(b"abc")
    assert pages.data_uri(tmp_path / "a.png") == "data:image/png;base64,YWJj"
