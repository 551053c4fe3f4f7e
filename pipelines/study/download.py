"""Stage download of the study: write the canonical file of a dataset, by its name in the catalogue."""

from pathlib import Path

from groundup.datasets.catalogue import StudyDataConfig, dataset_named, load_catalogue
from groundup.datasets.downloads import download
from groundup.tracking import Run


def main(run: Run, name: str, own: Path, out: Path, kept: Path, *, data: StudyDataConfig) -> None:
    """Fetch, and log which location served."""
    dataset = dataset_named(name, data.catalogue, load_catalogue(data.catalogue))
    download(run, dataset, own, out, kept)
