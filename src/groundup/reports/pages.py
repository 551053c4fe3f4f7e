"""HTML pages that read offline, in one style: no script, nothing fetched, pictures inside, every value escaped."""

import base64
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

STYLE = "reports/templates/style.css.j2"  # included by every page
MEDIA = {".png": "image/png", ".svg": "image/svg+xml"}


def fill(template: str, filters: Mapping[str, Callable[..., str]], values: Mapping[str, Any]) -> str:
    """The page that a template of this package makes of the values.

    Args:
        template: its path in the package, spelled out: "reports/templates/report.html.j2".
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("groundup", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters
    return environment.get_template(template).render(**values, style=STYLE) + "\n"


def data_uri(picture: Path) -> str:
    """A PNG or SVG file as an address that holds it."""
    return f"data:{MEDIA[picture.suffix]};base64,{base64.b64encode(picture.read_bytes()).decode('ascii')}"
