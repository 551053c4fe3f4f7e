"""Stage download: write the canonical file of the dataset that params.yaml names for a role."""

from pathlib import Path

from groundup.datasets.catalogue import DataConfig, Dataset, dataset_for, fetch, load_catalogue
from groundup.text.jsonl import read_jsonl
from groundup.tracking import Run


def main(run: Run, role: str, own: Path, out: Path, kept: Path, *, data: DataConfig) -> None:
    """Fetch, and log which location served."""
    download(run, dataset_for(role, data, load_catalogue(data.catalogue)), own, out, kept)


def download(run: Run, dataset: Dataset, own: Path, out: Path, kept: Path) -> None:
    """Write the dataset's canonical file; where it came from is for the log, the file does not depend on that.

    Args:
        own: the folder of the user's own files, a dependency of the stage: DVC notices their changes.
        kept: what was fetched, so that a repetition need not fetch it again.
    """
    import pandas as pd

    fetched = fetch(dataset, out, kept=kept, watched=own)
    rows = read_jsonl(out)
    print(f"{out.stem}: {dataset.name}, {len(rows):,} rows, {fetched.bytes:,} bytes, from {fetched.location}")
    run.log({"rows": len(rows), "bytes": fetched.bytes})
    run.tag("dataset", dataset.name)
    run.tag("dataset_sha256", fetched.sha256)
    run.tag("location", fetched.location)
    run.dataset(pd.DataFrame(rows), name=dataset.name, source=fetched.location, context=dataset.role)
