"""The work of the `download` stages. Only they and the judge use the network in a pipeline."""

from collections.abc import Mapping
from pathlib import Path

from groundup.datasets.catalogue import Dataset, Fetched, fetch, load_catalogue
from groundup.errors import BadInput
from groundup.files import atomic_path
from groundup.text.jsonl import read_jsonl
from groundup.tracking import Run

# GPT-2's vocabulary: OpenAI's file name -> name in the catalogue
GPT2_VOCABULARY = {"vocab.bpe": "gpt2_vocab_bpe", "encoder.json": "gpt2_encoder_json"}


def download(run: Run, dataset: Dataset, own: Path, out: Path, kept: Path) -> None:
    """Write the canonical file of a dataset of rows; its location is logged and not written to the file.

    Args:
        run: the run that logs rows, bytes, checksum and location.
        dataset: the entry of the catalogue.
        own: folder of the user's own files, a dependency of the stage, so DVC notices their changes.
        out: the file to write.
        kept: folder that keeps the downloaded file, so that it is not downloaded again.

    Raises:
        BadInput: see `fetch`.
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


def download_files(run: Run, names: Mapping[str, str], catalogue: Path, out: Path, kept: Path) -> None:
    """Write files of the catalogue into the folder `out`, atomically, and log their locations.

    Args:
        run: the run that logs the locations.
        names: file name in `out` -> name in the catalogue; if empty, `out` is an empty folder.
        catalogue: the catalogue's file.
        out: the folder to write.
        kept: folder that keeps the downloaded files, so that they are not downloaded again.

    Raises:
        BadInput: the catalogue lacks a name; or see `fetch`.
    """
    datasets = load_catalogue(catalogue) if names else {}
    if missing := sorted(set(names.values()) - set(datasets)):
        raise BadInput(
            f"{catalogue} has no entry {', '.join(missing)}; expected its locations: add it again."
        )
    with atomic_path(out) as folder:
        folder.mkdir()
        for file, name in names.items():
            fetched: Fetched = fetch(datasets[name], folder / file, kept=kept / name)
            print(f"{out.name}/{file}: {name}, {fetched.bytes:,} bytes, from {fetched.location}")
            run.tag(f"location.{name}", fetched.location)
