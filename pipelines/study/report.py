"""Draw every picture and page of the study from what its other stages measured."""

from pathlib import Path

from groundup.files import atomic_path, write_text
from groundup.reports import index, objectives, tokenizers
from groundup.tracking import Run

# name of a page -> draws it: (metrics, curves, its folder of pictures) -> HTML
DRAW = {
    "index": index.draw,
    "objectives": objectives.draw,
    "tokenizers": tokenizers.draw,
}


def main(run: Run, metrics: Path, curves: Path, plots: Path, *pages: Path) -> None:
    """Write the pages, each named as in DRAW; the pictures of each go into a folder of its name in `plots`."""
    with atomic_path(plots) as folder:
        folder.mkdir()
        for page in pages:
            write_text(page, DRAW[page.stem](metrics, curves, folder / page.stem))
            run.artifact(page)
    run.artifact(plots)
