"""Stage download of the study: write the canonical file of a dataset, by its name in the catalogue."""

from pathlib import Path

from groundup.datasets.catalogue import StudyDataConfig, dataset_named, load_catalogue
from groundup.study_params import load_study_params
from groundup.tracking import Run
from pipelines.download import download
from pipelines.stage import run_stage


def main(run: Run, name: str, own: Path, out: Path, kept: Path, *, data: StudyDataConfig) -> None:
    """Fetch, and log which location served."""
    dataset = dataset_named(name, data.catalogue, load_catalogue(data.catalogue))
    download(run, dataset, own, out, kept)


if __name__ == "__main__":
    params = load_study_params(Path("params.yaml"), Path("pipelines/study/params.yaml"))
    run_stage(main, data=params.data)
