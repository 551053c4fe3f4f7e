"""Draw every picture and page of the study from what its other stages measured."""

from pathlib import Path

from groundup.files import atomic_path, write_text
from groundup.reports import (
    contextual,
    embeddings,
    index,
    objectives,
    tokenizers,
    transformer,
    translation,
    validation,
)
from groundup.tracking import Run

# name of a page -> draws it: (metrics, curves, shown, its folder of pictures) -> HTML
DRAW = {
    "index": index.draw,
    "tokenizers": tokenizers.draw,
    "embeddings": embeddings.draw,
    "contextual": contextual.draw,
    "objectives": objectives.draw,
    "transformer": transformer.draw,
    "translation": translation.draw,
    "verses": validation.draw_verses,
}


def main(run: Run, metrics: Path, curves: Path, shown: Path, plots: Path, *pages: Path) -> None:
    """Write the pages, each named as in DRAW; the pictures of each go into a folder of its name in `plots`.

    Args:
        metrics, curves: folders of JSON and CSV files, one per stage.
        shown: folder of what the pages show besides, one file or folder per page: samples, attention maps, neighbours.
    """
    with atomic_path(plots) as folder:
        folder.mkdir()
        for page in pages:
            write_text(page, DRAW[page.stem](metrics, curves, shown, folder / page.stem))
            run.artifact(page)
    run.artifact(plots)
