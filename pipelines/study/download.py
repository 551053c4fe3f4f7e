"""Download a dataset of the study by its name in the catalogue, and write its canonical file."""

from pathlib import Path

from groundup.datasets.catalogue import StudyDataConfig, dataset_named, load_catalogue
from groundup.datasets.downloads import download
from groundup.tracking import Run


def main(run: Run, name: str, own: Path, out: Path, kept: Path, *, data: StudyDataConfig) -> None:
    """Download, and log the location that was used."""
    dataset = dataset_named(name, data.catalogue, load_catalogue(data.catalogue))
    download(run, dataset, own, out, kept)
