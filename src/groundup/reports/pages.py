"""HTML pages that read offline, in one style: no script, nothing fetched, pictures inside, every value escaped.

A page is a template in templates/ that extends page.html.j2 and uses the macros of macros.html.j2; it holds all of the
page's words. A module of this package prepares its values and draws its pictures.
"""

import base64
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groundup.reports import format
from groundup.reports.style import DPI

if TYPE_CHECKING:
    import jinja2
    from markupsafe import Markup

MEDIA = {".png": "image/png", ".svg": "image/svg+xml"}
WIDE, LONG = 700, 32  # pixels of a picture, characters of a cell: more need care at the width of a phone
INCH = 78  # CSS pixels for an inch of a figure: letters of 9 points then have almost 10 pixels
SIGNS = str.maketrans({"\n": "↵", "\t": "⇥", "\r": "␍"})  # what would be an empty box
MISSING = ("", "–", "-")  # cells that say nothing about their column
ADDRESS = re.compile(r"(https?://[^\s;,]*[^\s;,.:!?)])")
NUMBER = re.compile(r"[<>≈~]?\s*[-+−±]?\s*\d(?:[-+−–±×()/%\d.,\s]| to )*[a-zA-Zµ/]{0,5}\s*\*?")


def fill(template: str, values: Mapping[str, Any]) -> str:
    """The page that a template makes of the values.

    Args:
        template: its name in templates/, such as "report.html.j2".

    Raises:
        jinja2.UndefinedError: the template uses a value that is not there.
    """
    return environment().get_template(template).render(**values, contents=[]) + "\n"


def environment() -> "jinja2.Environment":
    """What templates can use: Jinja's own filters, those of FILTERS, the test `significant`, and the statement `do`."""
    import jinja2

    found = jinja2.Environment(
        loader=jinja2.PackageLoader("groundup.reports"),
        extensions=["jinja2.ext.do"],
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= FILTERS
    found.tests["significant"] = format.significant
    return found


def data_uri(picture: Path) -> str:
    """A PNG or SVG file as an address that holds it."""
    return f"data:{MEDIA[picture.suffix]};base64,{base64.b64encode(picture.read_bytes()).decode('ascii')}"


def legible_width(picture: Path) -> int:
    """The least width in CSS pixels at which a picture can be read, where that is wider than a phone; else 0.

    A phone scrolls it in its box.
    """
    with open(picture, "rb") as file:
        head = file.read(24)  # of a PNG: the width in pixels are the bytes 16 to 19
    width = int.from_bytes(head[16:20]) if head.startswith(b"\x89PNG") else 0
    return round(width / DPI * INCH) if width > WIDE else 0


def column_classes(rows: Sequence[Sequence[object]], columns: int) -> list[str]:
    """How the page sets each column of a table: "n" for numbers, "long" for more than a few words, else "".

    A column is one of numbers if every cell that says something is a number, perhaps with interval and unit.
    """
    assert all(len(row) == columns for row in rows), (columns, [len(row) for row in rows])
    classes = []
    for n in range(columns):
        cells = [str(row[n]) for row in rows]
        said = [cell for cell in cells if cell not in MISSING]
        numeric = bool(said) and all(map(NUMBER.fullmatch, said))
        classes.append("n" if numeric else "long" if any(len(cell) > LONG for cell in cells) else "")
    return classes


def visible(piece: str) -> str:
    """A piece of text with signs for ends of line and tabs."""
    return piece.translate(SIGNS)


def linked(text: str) -> "Markup":
    """The text as HTML, escaped, its addresses as links; what ends a clause does not belong to an address."""
    from markupsafe import Markup

    parts = ADDRESS.split(text)  # text, address, text, ...
    link = Markup('<a href="{0}">{0}</a>')
    return Markup("").join(link.format(part) if n % 2 else part for n, part in enumerate(parts))


FILTERS = {
    "data_uri": data_uri,
    "legible_width": legible_width,
    "column_classes": column_classes,
    "visible": visible,
    "linked": linked,
    "interval": format.interval,
    "percent": format.percent,
    "difference": format.difference,
    "starred": format.starred,
    "share": format.share,
    "number": format.number,
    "decimals": format.decimals,
}
