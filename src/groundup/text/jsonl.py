"""JSON Lines: the format of all raw and prepared text.

A prepared dataset is a folder with one file per split, and report.json with the counts of its preparation. Where this
module reads a file, it may also be a folder of shards (see `shards`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from groundup.errors import BadInput
from groundup.files import atomic_path, write_json
from groundup.text.shards import Part, line_of, read_part, shards_of

SAMPLE = 1000


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Read one JSON object per line.

    Raises:
        BadInput: the file is missing or not UTF-8, or a line is not a JSON object; the message names file and line.
    """
    return [*iterate_jsonl(path)]


def read_jsonl_file(path: Path) -> list[dict[str, Any]]:
    """Read a file that a user names or keeps, which is never a corpus in shards.

    Raises:
        BadInput: the path is that of a folder; otherwise as `read_jsonl` does.
    """
    if Path(path).is_dir():
        raise BadInput(f"{path} is a folder; expected a JSON Lines file: give the path of a file.")
    return read_jsonl(path)


def iterate_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """Read one JSON object per line, a line at a time.

    Raises:
        BadInput: as `read_jsonl` does.
    """
    for shard in shards_of(Path(path)):
        yield from read_part(Part(0, shard, 0, None))


def read_sample(path: Path) -> list[dict[str, Any]]:
    """Read all rows of a file; of a folder of shards, the first SAMPLE of each, without those that cannot be read.

    Raises:
        BadInput: as `read_jsonl` does for a file; no shard can be read.
    """
    if not Path(path).is_dir():
        return read_jsonl(path)
    rows: list[dict[str, Any]] = []
    for shard in shards_of(Path(path)):
        try:
            rows += [*islice(iterate_jsonl(shard), SAMPLE)]
        except BadInput as error:  # the stage that reads all of it decides what to do about it
            damage = error
    if not rows:
        raise damage
    return rows


def write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write one JSON object per line, atomically; equal rows give equal bytes."""
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        file.writelines(map(line_of, rows))


def read_splits(folder: Path, names: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
    """Read the named splits of a prepared dataset: split -> rows.

    Raises:
        BadInput: as `read_jsonl` does.
    """
    return {name: read_jsonl(Path(folder) / f"{name}.jsonl") for name in names}


def write_splits(
    folder: Path, splits: Mapping[str, Sequence[dict[str, Any]]], report: Mapping[str, Any]
) -> None:
    """Write a prepared dataset (one file per split, and `report`) into `folder`, atomically."""
    with atomic_path(folder) as temporary:
        temporary.mkdir()
        for name, rows in splits.items():
            write_jsonl(temporary / f"{name}.jsonl", rows)
        write_json(temporary / "report.json", report)
