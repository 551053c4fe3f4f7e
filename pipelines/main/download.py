"""Download the dataset that params.yaml names for a role, or mix several, and write the canonical file."""

from pathlib import Path

from groundup.datasets.catalogue import DataConfig, datasets_for, load_catalogue
from groundup.datasets.downloads import download_mixture
from groundup.tracking import Run


def main(run: Run, role: str, own: Path, out: Path, kept: Path, *, data: DataConfig) -> None:
    """Download the dataset of `role`, or mix its datasets, and log the locations that served them.

    `own` is the folder of the user's own files; `kept` keeps the downloaded file for the next run of the stage.
    """
    download_mixture(run, datasets_for(role, data, load_catalogue(data.catalogue)), own, out, kept)
