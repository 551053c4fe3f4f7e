"""`python -m pipelines.docs`: write the generated pages, or check that they are current."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from groundup.errors import BadInput
from groundup.files import write_text
from pipelines.docs.links import broken_links
from pipelines.docs.pages import generate, pages
from pipelines.rooms import texts
from pipelines.schemas import schemas

ROOT = Path(__file__).resolve().parents[2]


def main(
    check: Annotated[
        bool,
        typer.Option("--check", help="Write nothing; fail if a page is not current or a link is broken."),
    ] = False,
) -> None:
    """Write all generated files: pages, schedules, JSON Schemas, and the code dependencies of every stage."""
    try:
        due = texts(ROOT) | {ROOT / path: text for path, text in schemas().items()} | generate(ROOT)
    except BadInput as error:
        sys.exit(f"error: {error}")
    stale = [
        page for page, text in due.items() if not page.is_file() or page.read_text(encoding="utf-8") != text
    ]
    names = ", ".join(page.relative_to(ROOT).as_posix() for page in stale)
    if check and stale:
        sys.exit(
            f"error: {names}: not current with the code, dvc.yaml and the metrics; run `make docs` and commit."
        )
    for page in stale:
        write_text(page, due[page])
    if stale:
        print(f"Wrote {names}.")
    if broken := list(broken_links(pages(ROOT))):
        sys.exit(f"error: {'; '.join(broken)}: no such file or heading; correct the links.")


if __name__ == "__main__":
    typer.run(main)
