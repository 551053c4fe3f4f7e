"""Download a dataset of the study by its name in the catalogue, and write its canonical file."""

from pathlib import Path

from groundup.datasets.catalogue import StudyDataConfig, dataset_named, load_catalogue
from groundup.datasets.downloads import download
from groundup.tracking import Run


def main(run: Run, name: str, own: Path, out: Path, kept: Path, *, data: StudyDataConfig) -> None:
    """Download the dataset `name`, and log the location that served it.

    `own` is the folder of the user's own files; `kept` keeps the downloaded file for the next run of the stage.
    """
    dataset = dataset_named(name, data.catalogue, load_catalogue(data.catalogue))
    download(run, dataset, own, out, kept)
