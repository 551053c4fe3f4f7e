"""Stage download: write the canonical file of the dataset that params.yaml names for a role."""

from pathlib import Path

from groundup.datasets.catalogue import DataConfig, dataset_for, load_catalogue
from groundup.datasets.download import download
from groundup.tracking import Run


def main(run: Run, role: str, own: Path, out: Path, kept: Path, *, data: DataConfig) -> None:
    """Fetch, and log which location served."""
    download(run, dataset_for(role, data, load_catalogue(data.catalogue)), own, out, kept)
