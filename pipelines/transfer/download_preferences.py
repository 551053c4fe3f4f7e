"""Stage download_preferences: the dataset of pairs that `preferences` names, if its source is a dataset."""

from pathlib import Path

from groundup.datasets.catalogue import fetch, load_catalogue
from groundup.datasets.preferences import PairsConfig, preferences_named
from groundup.text.jsonl import write_jsonl
from groundup.tracking import Run


def main(run: Run, catalogue: Path, own: Path, out: Path, kept: Path, *, preferences: PairsConfig) -> None:
    """Fetch the pairs, or write no pair where prepare_preferences makes them of the tasks."""
    if preferences.source != "dataset":
        write_jsonl(out, [])
        return
    dataset = preferences_named(preferences.dataset, load_catalogue(catalogue))
    fetched = fetch(dataset, out, kept=kept, watched=own)
    print(f"{dataset.name}: {fetched.bytes:,} bytes from {fetched.location}")
    run.tag("dataset", dataset.name)
    run.tag("location", fetched.location)
