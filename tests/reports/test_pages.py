import base64
import re

import pytest

from groundup.reports import pages, style
from tests.reports.html_page import Page

EVIL = "<b>&\"'<script>alert(1)</script>"
PNG = b"\x89PNG not really"
SOURCE = "Vaswani et al. 2017, https://arxiv.org/abs/1706.03762"
EVERY_PART = """
{{ picture(path, "Alt " ~ evil) }}
{{ table(["name", evil], [[evil, "1"], ["b", "2"]], "Caption " ~ evil) }}
{{ pieces([["label " ~ evil, ["un", evil, " "]]]) }}
<p>{{ "First " ~ evil }}</p>
<div class="cards">
{% call card("title " ~ evil, "0.97", 'x"y.html') %}F1{% endcall %}
{% call card("plain", "1") %}no link{% endcall %}
</div>
"""


def page_of(*sections, frame="study", **values):
    """A page with these sections, which are templates, extending the template `frame`."""
    source = (
        f'{{% extends "{frame}.html.j2" %}}'
        '{% from "macros.html.j2" import section, look_for, source, picture, table, pieces, card, by_chance'
        " with context %}"
        "{% block title %}{{ title }}{% endblock %}{% block lead %}{{ lead }}{% endblock %}"
        f"{{% block sections %}}{''.join(sections)}{{% endblock %}}"
    )
    values = {"title": "Title", "lead": "Lead", "evil": EVIL, "contents": [], **values}
    return pages.environment().from_string(source).render(values)


def section(body="", title="One", source=SOURCE):
    return (
        f'{{% call section("{title}") %}}<p>What {{{{ evil }}}}</p>'
        f"{{% call look_for() %}}Look {{{{ evil }}}}{{% endcall %}}{body}"
        + (f'{{{{ source("{source}") }}}}' if source else "")
        + "{% endcall %}"
    )


@pytest.fixture
def picture(tmp_path):
    (tmp_path / "p.png").write_bytes(PNG)
    return tmp_path / "p.png"


def test_fills_a_template_with_the_common_style():
    report = {"success": True, "suites": []}
    page = pages.fill("validation.html.j2", {"report": report, "title": "a < b"})
    assert "<h1>a &lt; b</h1>" in page and "color-scheme: light dark" in page and page.endswith("</html>\n")


def test_a_missing_value_is_an_error():
    from jinja2 import UndefinedError

    with pytest.raises(UndefinedError, match="report"):
        pages.fill("validation.html.j2", {"title": ""})


def test_a_picture_becomes_a_data_uri(tmp_path):
    (tmp_path / "a.png").write_bytes(b"abc")
    assert pages.data_uri(tmp_path / "a.png") == "data:image/png;base64,YWJj"


def test_the_page_works_offline_and_escapes_every_value(picture):
    source = page_of(
        section(EVERY_PART, title='" ~ evil ~ "'), title=f"Title {EVIL}", lead=f"Lead {EVIL}", path=picture
    )
    page = Page(source)
    assert page.fetched == ["data:image/png;base64," + base64.b64encode(PNG).decode()]
    assert "<script" not in source and "<b>&" not in source
    assert "@import" not in source and "url(" not in source and "<style" in source
    assert page.links == ["index.html", 'x"y.html', "https://arxiv.org/abs/1706.03762"]
    for tag, said in (
        ("title", "Title"), ("h1", "Title"), ("p", "Lead"), ("h2", ""), ("figcaption", "Alt"), ("th", ""), ("td", ""),
        ("figcaption", "Caption"), ("dt", "label"), ("p", "First"), ("span", ""),
    ):  # fmt: skip
        assert any(f"{said} {EVIL}".strip() in text for text in page.text_of(tag)), (tag, said)
    assert 'name="viewport"' in source


def test_headings_are_in_order_and_sections_are_listed():
    sections = [section(title=title) for title in ("One", "Two", "Three")]
    page = Page(page_of(*sections))
    assert page.headings == [1, 2, 2, 2]
    assert page.text_of("h2") == ["One", "Two", "Three"]
    assert [link for link in page.links if link.startswith("#")] == ["#s1", "#s2", "#s3"]
    assert "<nav" not in page_of(*sections[:2])


def test_a_section_shows_its_parts_in_the_order_of_the_template(picture):
    page = page_of(section("{{ picture(path, 'Alt') }}<p>Tail</p>"), path=picture)
    places = [page.index(word) for word in ("What &lt;", "Look &lt;", "<img", "Tail", "Source: ")]
    assert places == sorted(places)
    assert "Source" not in page_of(section(source=""))


def test_a_link_ends_before_punctuation():
    source = "A, https://a.org/x; B (see http://b.org/y_(z), 2017). <c> https://c.org/?q=1&r=2."
    page = Page(page_of(section(source=source), frame="page"))
    assert page.links == ["https://a.org/x", "http://b.org/y_(z", "https://c.org/?q=1&r=2"]
    assert "".join(text for tag, _, text in page.texts if tag in ("p", "a")).endswith(f"Source: {source}")


def test_only_pages_of_the_study_link_to_its_first_page():
    assert Page(page_of(section(source=""))).links == ["index.html"]
    assert Page(page_of(section(source=""), frame="page")).links == []


@pytest.mark.parametrize(
    ("cells", "numeric"),
    [
        (("1", "-2.5", "−3"), True),
        (("1,234,567", "–", ""), True),
        (("98.8%", "100%"), True),
        (("0.970 (0.946–0.991)", "±0.1", "0.97 ± 0.01"), True),
        (("+0.012 *", "1.5×", "12.3 MB/s", "20 s", "<0.1"), True),
        (("+0.353 (+0.333 to +0.373) *", "-0.000 (-0.025 to +0.025)"), True),
        (("1", "one"), False),
        (("4k words and more",), False),
        (("–", ""), False),
        (("bpe_4k", "gpt2"), False),
    ],
)
def test_columns_of_numbers_are_aligned_to_the_right(cells, numeric):
    rows = [("x", cell) for cell in cells]
    assert pages.column_classes(rows, 2) == ["", "n" if numeric else ""]
    page = Page(page_of(section("{{ table(['name', 'value'], rows) }}"), rows=rows))
    assert page.text_of("th", "n") == (["value"] if numeric else [])
    assert page.text_of("td", "n") == ([cell for cell in cells if cell] if numeric else [])


def test_a_table_without_rows():
    assert pages.column_classes([], 2) == ["", ""]
    assert Page(page_of(section("{{ table(['a', 'b'], []) }}"))).text_of("th") == ["a", "b"]


def test_a_row_of_the_wrong_length_is_an_error():
    with pytest.raises(AssertionError):
        page_of(section("{{ table(['a', 'b'], [['1']]) }}"))


def test_pieces_keep_their_spaces_and_are_counted():
    page = Page(page_of(section("{{ pieces(rows) }}"), rows=[("bpe", ("a", "  b", " ", "\n"))]))
    assert page.text_of("span", "piece") == ["a", "  b", " ", "↵"]
    assert page.text_of("span", "soft") == ["4"]


def test_wide_pictures_scroll_on_a_phone(tmp_path):
    for width, least in ((5.0, 0), (11.0, 858)):  # 78 pixels per inch
        drawing, _ = style.figure(width, 2.0)
        style.save(drawing, tmp_path / "p.png")
        assert pages.legible_width(tmp_path / "p.png") == least
        page = page_of(section("{{ picture(path, '') }}"), path=tmp_path / "p.png")
        found = re.findall(r'<figure class="wide" style="--least: (\d+)px">', page)
        assert found == [str(least)] * bool(least)


def test_long_cells_keep_a_readable_width():
    page = page_of(section("{{ table(['name', 'what', 'n'], rows) }}"), rows=(("a", "word " * 20, "1"),))
    assert Page(page).text_of("td", "long") == ["word " * 20]


def test_svg_is_embedded_as_svg(tmp_path):
    (tmp_path / "p.svg").write_bytes(b"<svg/>")
    page = Page(page_of(section("{{ picture(path, 'A block') }}"), path=tmp_path / "p.svg"))
    assert page.fetched == ["data:image/svg+xml;base64," + base64.b64encode(b"<svg/>").decode()]


def test_the_remark_on_differences_significant_by_chance():
    page = page_of("{{ by_chance(12, 0.95) }}")
    assert "12 differences are tested at 95%, so about 0.6 of them would appear significant" in page


def test_the_page_is_the_same_twice(picture):
    assert page_of(section(EVERY_PART), path=picture) == page_of(section(EVERY_PART), path=picture)
