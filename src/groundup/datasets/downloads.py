"""What `download` stages do: the only work of a pipeline that reaches for the network (but for the judge)."""

from collections.abc import Mapping
from pathlib import Path

from groundup.datasets.catalogue import Dataset, Fetched, fetch, load_catalogue
from groundup.errors import BadInput
from groundup.files import atomic_path
from groundup.text.jsonl import read_jsonl
from groundup.tracking import Run

# GPT-2's vocabulary: OpenAI's names of the two files -> their names in the catalogue
GPT2_VOCABULARY = {"vocab.bpe": "gpt2_vocab_bpe", "encoder.json": "gpt2_encoder_json"}


def download(run: Run, dataset: Dataset, own: Path, out: Path, kept: Path) -> None:
    """Write the canonical file of a dataset of rows; where it came from goes to the log, not into the file.

    Args:
        own: the folder of the user's own files, a dependency of the stage: DVC notices their changes.
        kept: what was fetched, so that a repetition need not fetch it again.

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
    """Write files of the catalogue into the folder `out`, which is whole or absent; log where each came from.

    Args:
        names: name of the file in `out` -> name in the catalogue; none leave `out` empty.
        kept: what was fetched, so that a repetition need not fetch it again.

    Raises:
        BadInput: the catalogue lacks one; or see `fetch`.
    """
    datasets = load_catalogue(catalogue) if names else {}
    if missing := sorted(set(names.values()) - set(datasets)):
        raise BadInput(f"{catalogue} has no {', '.join(missing)}; expected where to fetch it; add it again.")
    with atomic_path(out) as folder:
        folder.mkdir()
        for file, name in names.items():
            fetched: Fetched = fetch(datasets[name], folder / file, kept=kept / name)
            print(f"{out.name}/{file}: {name}, {fetched.bytes:,} bytes, from {fetched.location}")
            run.tag(f"location.{name}", fetched.location)
