"""Draw every picture and page of the study from the results of its other stages."""

from pathlib import Path

from groundup.files import write_text
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

# name of a page -> function (metrics, curves, shown, folder of its pictures) -> HTML
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


def main(run: Run, metrics: Path, curves: Path, shown: Path, *outs: Path) -> None:
    """Write the pages of the study and their pictures.

    Args:
        run: the MLflow run.
        metrics, curves: folders of JSON and CSV files, one per stage.
        shown: folder of samples, attention maps and neighbours, one file or folder per page.
        outs: pages and folders of pictures, named as in DRAW; a page without a folder has no pictures.
    """
    pictures = {out.name: out for out in outs if out.suffix != ".html"}
    for page in (out for out in outs if out.suffix == ".html"):
        write_text(page, DRAW[page.stem](metrics, curves, shown, pictures.get(page.stem, Path())))
        (run.report if page.stem == "index" else run.artifact)(page)
    for folder in pictures.values():
        run.artifact(folder, "plots")
