"""Download the dataset that params.yaml names for a role, and write its canonical file."""

from pathlib import Path

from groundup.datasets.catalogue import DataConfig, dataset_for, load_catalogue
from groundup.datasets.downloads import download
from groundup.tracking import Run


def main(run: Run, role: str, own: Path, out: Path, kept: Path, *, data: DataConfig) -> None:
    """Download the dataset of `role`, and log the location that served it.

    `own` is the folder of the user's own files; `kept` keeps the downloaded file for the next run of the stage.
    """
    download(run, dataset_for(role, data, load_catalogue(data.catalogue)), own, out, kept)
