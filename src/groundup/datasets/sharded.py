"""A pretraining dataset in many files: each becomes a shard of JSON Lines (see `text.shards`)."""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath
from typing import Any

from groundup.datasets.readers import READERS, canonical_lines
from groundup.errors import BadInput
from groundup.text.shards import COMPRESSED, writing

# reader -> names of its files in a folder
SHARDED = {"jsonl": (".jsonl", COMPRESSED), "csv": (".csv",), "parquet": (".parquet",)}


def files_of(folder: Path, reader: str, max_bytes: int) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the files of a folder that a reader reads, in the order of their names.

    Raises:
        BadInput: there is none, one is too large, or one cannot be read.
    """
    files = sorted(file for file in folder.iterdir() if file.name.endswith(SHARDED[reader]))
    if not files:
        expected = " or ".join(f"*{suffix}" for suffix in SHARDED[reader])
        raise BadInput(
            f"{folder} has no shard; expected files {expected}: put them there, or correct the reader."
        )
    for file in files:
        if file.stat().st_size > max_bytes:
            raise BadInput(f"{file} has {file.stat().st_size:,} bytes; the limit is {max_bytes:,}")
        try:
            yield file.name, file.read_bytes()
        except OSError as error:
            raise BadInput(f"{file} cannot be read ({error.strerror})") from error


def write_shards(files: Iterable[tuple[str, bytes]], reader: str, folder: Path) -> tuple[int, str]:
    """Write a shard for each file, and return the bytes of their lines and the SHA-256 of these.

    JSON Lines are copied as they are, whether or not they are compressed: prepare_corpus reads them, and names those
    that are damaged; their bytes and SHA-256 are those of the files. Of other formats, the rows are read. Their ids
    become "file/id", since those of two files may be the same.

    Args:
        files: names and contents, which are read when they are needed.
        reader: the format, a key of SHARDED.
        folder: an existing folder.

    Raises:
        BadInput: a file is not of the format, has no rows, or two have the same name.
    """
    hashed, size = hashlib.sha256(), 0
    for name, data in files:
        copied = reader == "jsonl"
        path = folder / (name if copied else f"{PurePath(name).stem}{COMPRESSED}")
        if path.exists():
            raise BadInput(f"two files are called {path.name}; expected different names: rename one.")
        with writing(path, as_is=copied) as file:
            for piece in [data] if copied else canonical_lines(_rows(data, reader, name), name):
                hashed.update(piece)
                size += file.write(piece)
    return size, hashed.hexdigest()


def _rows(data: bytes, reader: str, name: str) -> Iterator[dict[str, Any]]:
    for row in READERS[reader](data, "pretraining", name):
        yield row | {"id": f"{PurePath(name).stem}/{row['id']}"}
