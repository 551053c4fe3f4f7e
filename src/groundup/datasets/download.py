"""The work of the download stages: the canonical file of a dataset, and what MLflow is to know about it."""

from pathlib import Path

from groundup.datasets.catalogue import Dataset, fetch
from groundup.text.jsonl import read_jsonl
from groundup.tracking import Run


def download(run: Run, dataset: Dataset, own: Path, out: Path, kept: Path) -> None:
    """Write the dataset's canonical file. Where it came from is logged only: the file does not depend on that.

    Args:
        own: the folder of the user's own files, a dependency of the stage, so that DVC notices their changes.
        kept: what was fetched, so that a repetition need not fetch it again.

    Raises:
        BadInput: no location gave the file.
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
