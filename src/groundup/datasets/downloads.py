"""Download datasets and files of the catalogue, for the `download` stages.

In a pipeline, only these stages and the judge use the network.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from groundup.datasets.catalogue import Dataset, Fetched, fetch, load_catalogue, mixture
from groundup.datasets.mixtures import mix
from groundup.errors import BadInput
from groundup.files import atomic_path
from groundup.text.counts import counted
from groundup.text.shards import shards_of
from groundup.tracking import Run

# GPT-2's vocabulary: OpenAI's file name -> name in the catalogue
GPT2_VOCABULARY = {"vocab.bpe": "gpt2_vocab_bpe", "encoder.json": "gpt2_encoder_json"}


def download(run: Run, dataset: Dataset, own: Path, out: Path, kept: Path) -> None:
    """Fetch a dataset, write its canonical rows to `out`, and log where they came from.

    The location is only logged: the file itself is the same for every location.

    Args:
        run: the run that logs rows, bytes, checksum and location.
        dataset: the dataset's entry in the catalogue.
        own: the folder of the user's own files. The stage depends on it, so DVC notices changes in it.
        out: the file to write.
        kept: folder that keeps the downloaded file, so that it is not downloaded again.

    Raises:
        BadInput: as `catalogue.fetch` does.
    """
    fetched = fetch(dataset, out, kept=kept, watched=own)
    if out.is_dir():
        counts = {"shards": len(shards_of(out))}
    else:
        with open(out, "rb") as file:
            counts = {"rows": sum(1 for _ in file)}
    found = "".join(f", {counted(number, name[:-1])}" for name, number in counts.items())
    print(f"{out.stem}: {dataset.name}{found}, {fetched.bytes:,} bytes, from {fetched.location}")
    run.log(counts | {"bytes": fetched.bytes})
    run.tag("dataset", dataset.name)
    run.tag("dataset_sha256", fetched.sha256)
    run.tag("location", fetched.location)
    run.reads(out, dataset.name, dataset.role, source=fetched.location)


def download_mixture(
    run: Run, datasets: Mapping[Dataset, float | None], own: Path, out: Path, kept: Path
) -> None:
    """Fetch the datasets of a role, mix them into the file `out`, and log where they came from.

    A single dataset is written as it is, as `download` does.

    Args:
        run: the run that logs rows, checksum and locations.
        datasets: the datasets' entries in the catalogue, with their weights, which are None to use all rows.
        own: the folder of the user's own files.
        out: the file to write.
        kept: folder that keeps the downloaded files, of several datasets in a folder for each.

    Raises:
        BadInput: as `catalogue.fetch` and `mixtures.mix` do.
    """
    if len(datasets) == 1:
        download(run, next(iter(datasets)), own, out, kept)
        return
    weights = {dataset.name: weight for dataset, weight in datasets.items() if weight is not None}
    with tempfile.TemporaryDirectory(prefix="groundup-") as folder:
        files = {dataset.name: Path(folder, f"{dataset.name}.jsonl") for dataset in datasets}
        for dataset in datasets:
            fetched = fetch(dataset, files[dataset.name], kept=kept / dataset.name, watched=own)
            run.tag(f"location.{dataset.name}", fetched.location)
        counts = mix(files, weights or None, out)
    whole = mixture(datasets)
    for name, count in counts.items():
        print(f"{out.stem}: {counted(count, 'row')} of {name}")
    total = {"rows": sum(counts.values()), "bytes": out.stat().st_size}
    run.log(total | {f"rows/{name}": n for name, n in counts.items()})
    run.reads(out, whole.name, whole.role, source="mixture")


def download_files(run: Run, names: Mapping[str, str], catalogue: Path, out: Path, kept: Path) -> None:
    """Fetch files of the catalogue, write them to the folder `out`, atomically, and log their locations.

    Args:
        run: the run that logs the locations.
        names: file name in `out` -> name in the catalogue; if empty, `out` becomes an empty folder.
        catalogue: the catalogue's file.
        out: the folder to write.
        kept: folder that keeps the downloaded files, so that they are not downloaded again.

    Raises:
        BadInput: the catalogue has no entry of a name; otherwise as `catalogue.fetch` does.
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
