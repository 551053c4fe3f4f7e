import base64
import re
from html.parser import HTMLParser

import pytest

from groundup.reports import style as figures
from groundup.reports.study_page import Card, Cards, Picture, Pieces, Section, Table, Text, render

EVIL = "<b>&\"'<script>alert(1)</script>"
PNG = b"\x89PNG not really"


class Page(HTMLParser):
    """Fails on a tag closed out of order; collects addresses, headings, cells and boxes."""

    EMPTY = frozenset({"meta", "img", "br", "link", "wbr"})

    def __init__(self, page):
        super().__init__()
        self.open, self.fetched, self.links, self.headings = [], [], [], []
        self.texts, self.classes = [], []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        assert not any(name.startswith("on") for name in attrs)
        if "src" in attrs:
            self.fetched.append(attrs["src"])
        if tag == "a":
            self.links.append(attrs["href"])
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        assert tag not in ("script", "link", "iframe", "object")
        if tag not in self.EMPTY:
            self.open.append(tag)
            self.classes.append(attrs.get("class"))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        self.classes.pop()

    def handle_data(self, data):
        if self.open:
            self.texts.append((self.open[-1], self.classes[-1], data))

    def text_of(self, tag, css=...):
        return [data for t, c, data in self.texts if t == tag and (css is ... or c == css)]


@pytest.fixture
def picture(tmp_path):
    (tmp_path / "p.png").write_bytes(PNG)
    return Picture(tmp_path / "p.png", f"Alt {EVIL}")


def section(*parts, title="One", source="Vaswani et al. 2017, https://arxiv.org/abs/1706.03762"):
    return Section(title, f"What {EVIL}", f"Look {EVIL}", source, parts)


def every_part(picture):
    return (
        picture,
        Table(("name", EVIL), ((EVIL, "1"), ("b", "2")), f"Caption {EVIL}"),
        Pieces(((f"label {EVIL}", ("un", EVIL, " ")),)),
        Text(f"First {EVIL}\n\nSecond"),
        Cards((Card(f"title {EVIL}", "0.97", "F1", 'x"y.html'), Card("plain", "1", "no link"))),
    )


def test_the_page_reads_offline_and_escapes_every_value(picture):
    source = render(f"Title {EVIL}", f"Lead {EVIL}", [section(*every_part(picture), title=EVIL)])
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


def test_headings_are_in_order_and_sections_are_listed(picture):
    sections = [section(title=title) for title in ("One", "Two", "Three")]
    page = Page(render("Title", "Lead", sections))
    assert page.headings == [1, 2, 2, 2]
    assert page.text_of("h2") == ["One", "Two", "Three"]
    assert [link for link in page.links if link.startswith("#")] == ["#s1", "#s2", "#s3"]
    assert "<nav" not in render("Title", "Lead", sections[:2])


def test_a_section_says_what_it_is_then_what_to_look_for_then_shows_then_names_its_source(picture):
    page = render("Title", "Lead", [section(picture, Text("Tail"))])
    places = [page.index(word) for word in ("What &lt;", "Look &lt;", "<img", "Tail", "Source: ")]
    assert places == sorted(places)
    assert "Source" not in render("Title", "Lead", [section(source="")])


def test_addresses_end_where_the_clause_ends():
    source = "A, https://a.org/x; B (see http://b.org/y_(z), 2017). <c> https://c.org/?q=1&r=2."
    page = Page(render("Title", "Lead", [section(source=source)], home=""))
    assert page.links == ["https://a.org/x", "http://b.org/y_(z", "https://c.org/?q=1&r=2"]
    assert "".join(text for tag, _, text in page.texts if tag in ("p", "a")).endswith(f"Source: {source}")


def test_the_index_has_no_link_to_itself():
    assert Page(render("Title", "Lead", [section(source="")], home="")).links == []


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
    table = Table(("name", "value"), [("x", cell) for cell in cells])
    assert table.numeric == [False, numeric]
    page = Page(render("Title", "Lead", [section(table)]))
    assert page.text_of("th", "n") == (["value"] if numeric else [])
    assert page.text_of("td", "n") == ([cell for cell in cells if cell] if numeric else [])


def test_a_table_without_rows():
    assert Table(("a", "b"), ()).numeric == [False, False]


def test_a_row_of_another_length_is_refused():
    with pytest.raises(AssertionError):
        render("Title", "Lead", [section(Table(("a", "b"), (("1",),)))])


def test_pieces_keep_their_spaces_and_are_counted():
    page = Page(render("Title", "Lead", [section(Pieces((("bpe", ("a", "  b", " ", "\n")),)))]))
    assert page.text_of("span", "piece") == ["a", "  b", " ", "↵"]
    assert page.text_of("span", "soft") == ["4"]


def test_wide_pictures_scroll_at_the_width_of_a_phone(tmp_path):
    for width, least in ((5.0, 0), (11.0, 858)):  # 78 pixels an inch
        drawing, _ = figures.figure(width, 2.0)
        figures.save(drawing, tmp_path / "p.png")
        assert Picture(tmp_path / "p.png", "").legible_width == least
        page = render("T", "L", [section(Picture(tmp_path / "p.png", ""))])
        assert re.findall(r'<figure class="wide" style="--least: (\d+)px">', page) == [str(least)] * bool(
            least
        )


def test_long_cells_keep_a_readable_width():
    table = Table(("name", "what", "n"), (("a", "word " * 20, "1"),))
    assert Page(render("Title", "Lead", [section(table)])).text_of("td", "long") == ["word " * 20]


def test_svg_goes_in_as_svg(tmp_path):
    (tmp_path / "p.svg").write_bytes(b"<svg/>")
    page = Page(render("Title", "Lead", [section(Picture(tmp_path / "p.svg", "A block"))]))
    assert page.fetched == ["data:image/svg+xml;base64," + base64.b64encode(b"<svg/>").decode()]


def test_the_page_is_the_same_twice(picture):
    assert render("T", "L", [section(*every_part(picture))]) == render(
        "T", "L", [section(*every_part(picture))]
    )
