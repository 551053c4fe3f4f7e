"""Find models by name: download published ones, import them once into the user's cache, and load them."""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from groundup.checkpoint import fingerprint
from groundup.datasets.catalogue import Dataset, fetch, load_catalogue
from groundup.errors import BadInput
from groundup.hub import downloads as hub
from groundup.hub.cache import cache_folder, cached, entry_name
from groundup.hub.names import COMMIT, EXPECTED, HUB, MODELS, is_download
from groundup.interop.published import Published, import_model, load_published, save_published

# data/catalogue.yaml, as it was when groundup was installed
CATALOGUE = Path(__file__).parents[1] / "catalogue.yaml"
UNFINISHED = ".part"  # in the cache
READ = (".json", ".jinja", ".txt", ".safetensors")  # files of a Hugging Face folder that an import may read


def resolve(name_or_path: str | Path, *, progress: bool = True) -> Path:
    """Return the checkpoint folder of a model; a published model is imported into the user's cache at its first use.

    Args:
        name_or_path: a checkpoint folder, or a published model: a name in MODELS, hf:org/name@revision, a Hugging
            Face folder or a .gguf file.
        progress: print to standard error what is downloaded and where it is kept, and show the progress.

    Raises:
        BadInput: there is no such model; it cannot be downloaded, read or kept; or it is not supported.
    """
    name, path = str(name_or_path), Path(name_or_path)
    if name in MODELS:
        return _from_catalogue(name, progress)
    if name.startswith(HUB):
        repo, commit = hub.commit_of(name)
        entry = entry_name(repo.replace("/", "--"), [commit])
        return _imported(entry, lambda: hub.download(name, repo, commit, progress=progress), progress)
    if is_download(path):
        files = [file for file in sorted(path.iterdir()) if file.suffix in READ] if path.is_dir() else [path]
        facts = [f"{file.name} {fingerprint(file)}" for file in files]
        return _imported(entry_name(path.absolute().stem, facts), lambda: path, progress)
    if not path.exists():
        raise BadInput(
            f"there is no model {name}; expected a checkpoint folder, {EXPECTED}: correct the name."
        )
    return path


def fetch_published(
    name_or_path: str, catalogue: Path = CATALOGUE, *, cache: Path | None = None, progress: bool = True
) -> Published:
    """Load a published model by name (downloaded to a temporary folder, or to the Hub's cache) or from a local path.

    Args:
        name_or_path: a name in MODELS, hf:org/name@revision, or the path of a Hugging Face folder or .gguf file.
        catalogue: the catalogue's file, with the locations and checksums of the files of MODELS.
        cache: folder for unfinished downloads, so that the next call can resume them; None means that it
            starts again.
        progress: show the progress of downloads.

    Raises:
        BadInput: the name is unknown, or no location serves a file; otherwise as `load_published` does.
    """
    path = Path(name_or_path)
    if name_or_path.startswith(HUB):
        return load_published(hub.download(name_or_path, *hub.commit_of(name_or_path), progress=progress))
    if name_or_path not in MODELS:
        if not path.exists():
            raise BadInput(
                f"{name_or_path} is neither a known model nor an existing path; expected {EXPECTED}: correct it."
            )
        return load_published(path)
    datasets = _datasets(name_or_path, catalogue)
    with tempfile.TemporaryDirectory() as folder:
        for file, dataset in datasets.items():
            fetch(dataset, Path(folder, file), cache=cache, progress=progress)
        return load_published(Path(folder, *datasets) if len(datasets) == 1 else Path(folder))


def require_commit(pretrained: str) -> None:
    """Check that a model on the Hub is named by its commit, so that every run of a pipeline reads the same weights.

    Raises:
        BadInput: it is named by a branch, a tag or nothing.
    """
    if pretrained.startswith(HUB):
        repo, revision = hub.parse(pretrained)
        if not COMMIT.fullmatch(revision or ""):
            raise BadInput(
                f"pretrained is {pretrained}, whose weights can change; expected {HUB}{repo}@ and the 40 digits of a "
                f"commit, which the model's page lists under Files, History: add them."
            )


def _datasets(name: str, catalogue: Path) -> dict[str, Dataset]:
    """Return file name -> entry of the catalogue, for a name in MODELS."""
    datasets, files = load_catalogue(catalogue), MODELS[name]
    missing = sorted(set(files.values()) - set(datasets))
    if missing:
        raise BadInput(f"{catalogue} has no entry {', '.join(missing)}; {name} needs it: add it again.")
    return {file: datasets[entry] for file, entry in files.items()}


def _from_catalogue(name: str, progress: bool) -> Path:
    """Return the cached checkpoint of a name in MODELS; import it if it is missing."""
    datasets = _datasets(name, CATALOGUE)

    def make(out: Path) -> None:
        if progress:
            size = sum(dataset.max_bytes for dataset in datasets.values()) / 1e6
            print(
                f"{name}: fetching at most {size:,.0f} MB; kept as a checkpoint in {cache_folder()}",
                file=sys.stderr,
            )
        save_published(
            fetch_published(name, CATALOGUE, cache=cache_folder() / UNFINISHED, progress=progress), out
        )

    return cached(entry_name(name, [str(dataset.sha256) for dataset in datasets.values()]), make)


def _imported(entry: str, source: Callable[[], Path], progress: bool) -> Path:
    """Return the cached checkpoint `entry`; import it from the downloaded model `source` if it is missing."""

    def make(out: Path) -> None:
        path = source()
        if progress:
            print(f"importing {path} as a checkpoint in {cache_folder()}", file=sys.stderr)
        import_model(path, out)

    return cached(entry, make)
