"""Download the preference pairs, if the section `preferences` of params.yaml names a dataset."""

from pathlib import Path

from groundup.datasets.catalogue import load_catalogue
from groundup.datasets.downloads import download
from groundup.datasets.preferences import JudgedPairsConfig, PairsConfig, preferences_named
from groundup.text.jsonl import write_jsonl
from groundup.tracking import Run


def main(run: Run, catalogue: Path, own: Path, out: Path, kept: Path, *, preferences: PairsConfig) -> None:
    """Download the pairs, or write an empty file if prepare_preferences makes pairs from the tasks."""
    if isinstance(preferences, JudgedPairsConfig):
        download(run, preferences_named(preferences.dataset, load_catalogue(catalogue)), own, out, kept)
    else:
        write_jsonl(out, [])
