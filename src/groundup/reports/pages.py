"""Make HTML pages in one style that work offline: no scripts, no external files, embedded pictures, escaped values.

A page is a template in templates/ that extends page.html.j2 and uses the macros of macros.html.j2. All words of the
page are in its template; a module of this package prepares its values and draws its pictures.
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
# pixels of a picture, characters of a cell: wider pictures and longer cells are laid out differently on a phone
WIDE, LONG = 700, 32
INCH = 78  # CSS pixels per inch of a figure, at which letters of 9 points are almost 10 pixels high
SIGNS = str.maketrans({"\n": "↵", "\t": "⇥", "\r": "␍"})  # the keys would be shown as an empty box
MISSING = ("", "–", "-")  # cells without a value
ADDRESS = re.compile(r"(https?://[^\s;,]*[^\s;,.:!?)])")
NUMBER = re.compile(r"[<>≈~]?\s*[-+−±]?\s*\d(?:[-+−–±×()/%\d.,\s]| to )*[a-zA-Zµ/]{0,5}\s*\*?")


def fill(template: str, values: Mapping[str, Any]) -> str:
    """Fill the template of a page with values, and return the HTML.

    Args:
        template: its name in templates/, such as "report.html.j2".
        values: the values that the template uses, by name.

    Raises:
        jinja2.UndefinedError: the template uses a value that is missing.
    """
    return environment().get_template(template).render(**values, contents=[]) + "\n"


def environment() -> "jinja2.Environment":
    """Return Jinja's environment for pages, with the filters of FILTERS, the test `significant` and the tag `do`."""
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
    """Return a PNG or SVG file as a data: URI, to embed it in a page."""
    return f"data:{MEDIA[picture.suffix]};base64,{base64.b64encode(picture.read_bytes()).decode('ascii')}"


def legible_width(picture: Path) -> int:
    """Return the smallest width in CSS pixels at which a picture is legible; 0 if it is narrow enough for a phone.

    On a phone, a picture with such a width is scrolled sideways inside its box. The result for an SVG is always 0.
    """
    with open(picture, "rb") as file:
        head = file.read(24)  # bytes 16 to 19 of a PNG are its width in pixels
    width = int.from_bytes(head[16:20]) if head.startswith(b"\x89PNG") else 0
    return round(width / DPI * INCH) if width > WIDE else 0


def column_classes(rows: Sequence[Sequence[object]], columns: int) -> list[str]:
    """Return the CSS class of each column of a page's table: "n" for numbers, "long" for long text, else "".

    A column is numeric if every cell that is not empty is a number, perhaps followed by an interval and a unit. It is
    long if it is not numeric and a cell has more than LONG characters.
    """
    assert all(len(row) == columns for row in rows), (columns, [len(row) for row in rows])
    classes = []
    for n in range(columns):
        cells = [str(row[n]) for row in rows]
        present = [cell for cell in cells if cell not in MISSING]
        numeric = bool(present) and all(map(NUMBER.fullmatch, present))
        classes.append("n" if numeric else "long" if any(len(cell) > LONG for cell in cells) else "")
    return classes


def visible(piece: str) -> str:
    """Replace the line ends and tabs of a token by visible signs."""
    return piece.translate(SIGNS)


def linked(text: str) -> "Markup":
    """Return the text as escaped HTML with its URLs as links; punctuation after a URL is not part of it."""
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
