"""A strict reader of HTML pages."""

import re
from html.parser import HTMLParser


class Page(HTMLParser):
    """Fails on wrongly nested tags and on left-over braces; collects links, headings and texts."""

    EMPTY = frozenset({"meta", "img", "br", "link", "wbr"})

    def __init__(self, page):
        super().__init__()
        self.open, self.fetched, self.links, self.headings = [], [], [], []
        self.texts, self.classes = [], []
        for brace in ("{{", "}}", "{%", "%}", "{#", "#}"):
            assert brace not in page.partition("</style>")[2]
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
