"""Pages of the study: what a part is, what to look for, pictures and tables of the user's own run, the source."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from groundup.reports.pages import data_uri, fill
from groundup.reports.style import DPI

WIDE, LONG = 700, 32  # pixels of a picture, characters of a cell: more need care at the width of a phone
INCH = 78  # CSS pixels for an inch of a figure: letters of 9 points then have almost 10 pixels
SIGNS = str.maketrans({"\n": "↵", "\t": "⇥", "\r": "␍"})  # what would be an empty box
MISSING = ("", "–", "-")  # cells that say nothing about their column
ADDRESS = re.compile(r"(https?://[^\s;,]*[^\s;,.:!?)])")
NUMBER = re.compile(r"[<>≈~]?\s*[-+−±]?\s*\d(?:[-+−–±×()/%\d.,\s]| to )*[a-zA-Zµ/]{0,5}\s*\*?")


@dataclass(frozen=True)
class Picture:
    """A PNG or SVG file, put into the page; `alt` says what it shows, for those who see it and those who do not."""

    path: Path
    alt: str

    @property
    def legible_width(self) -> int:
        """The least width in CSS pixels at which it can be read, where that is wider than a phone; else 0.

        A phone scrolls it in its box.
        """
        with open(self.path, "rb") as file:
            head = file.read(24)  # of a PNG: the width in pixels are the bytes 16 to 19
        width = int.from_bytes(head[16:20]) if head.startswith(b"\x89PNG") else 0
        return round(width / DPI * INCH) if width > WIDE else 0


@dataclass(frozen=True)
class Table:
    """Cells as text, a row as long as the head; columns of numbers are aligned to the right."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""

    @property
    def numeric(self) -> list[bool]:
        """Of each column: is every cell that says something a number, perhaps with interval and unit?"""
        assert all(len(row) == len(self.head) for row in self.rows), [len(row) for row in self.rows]
        columns = [[cell for cell in cells if cell not in MISSING] for cells in zip(*self.rows, strict=True)]
        found = [bool(cells) and all(map(NUMBER.fullmatch, cells)) for cells in columns]
        return found or [False] * len(self.head)

    @property
    def classes(self) -> list[str]:
        """Of each column, how the page sets it: "n" for numbers, "long" for more than a few words."""
        numeric = self.numeric
        long = [any(len(row[n]) > LONG for row in self.rows) for n in range(len(self.head))]
        return ["n" if n else "long" if many else "" for n, many in zip(numeric, long, strict=True)]


@dataclass(frozen=True)
class Pieces:
    """How texts are cut: each row a label and the pieces, shown as coloured boxes with their number."""

    rows: Sequence[tuple[str, Sequence[str]]]

    @property
    def visible(self) -> list[tuple[str, list[str]]]:
        """The rows with signs for ends of line and tabs."""
        return [(label, [piece.translate(SIGNS) for piece in cut]) for label, cut in self.rows]


@dataclass(frozen=True)
class Text:
    """Paragraphs, divided by empty lines."""

    text: str

    @property
    def paragraphs(self) -> list[str]:
        """Each without the space around it."""
        return [part.strip() for part in re.split(r"\n\s*\n", self.text.strip())]


@dataclass(frozen=True)
class Card:
    """A headline figure: what it is of, the figure, what it means; `href`, if any, leads to its page."""

    title: str
    figure: str
    meaning: str
    href: str = ""


@dataclass(frozen=True)
class Cards:
    """Headline figures side by side."""

    cards: Sequence[Card]


Part = Picture | Table | Pieces | Text | Cards


@dataclass(frozen=True)
class Section:
    """One thing explained: a heading, what it is, what to look for, its parts, and where it comes from.

    Addresses in `source` become links. `look_for` and `source` may be "".
    """

    title: str
    what: str
    look_for: str
    source: str
    parts: Sequence[Part]


def render(title: str, lead: str, sections: Sequence[Section], home: str = "index.html") -> str:
    """One page, with a list of its sections if there are more than two.

    Args:
        title: its heading.
        lead: the paragraph under it.
        home: address of the page that leads to all pages; "" for that page itself.
    """
    shown = [(s, [(type(part).__name__, part) for part in s.parts]) for s in sections]
    values = {"title": title, "lead": lead, "sections": shown, "home": home}
    return fill("reports/templates/study.html.j2", {"data_uri": data_uri, "linked": linked}, values)


def linked(text: str) -> str:
    """The text as HTML, escaped, its addresses as links; what ends a clause does not belong to an address."""
    from markupsafe import Markup

    parts = ADDRESS.split(text)  # text, address, text, ...
    link = Markup('<a href="{0}">{0}</a>')
    return Markup("").join(link.format(part) if n % 2 else part for n, part in enumerate(parts))
