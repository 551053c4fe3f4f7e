"""A corpus in shards: a file of JSON Lines, or a folder of such files, plain or compressed with Zstandard.

`data/raw/pretraining.jsonl` may be a file or a folder: its shards follow each other in the order of their names. What
reads or writes a corpus of any size works on its parts: a compressed shard, or a range of bytes of a plain one.
"""

import hashlib
import json
import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from groundup.errors import BadInput

COMPRESSED = ".jsonl.zst"
LEVEL = 3  # of Zstandard; equal rows give equal bytes with equal versions of the library
CHUNK = 2**20


@dataclass(frozen=True)
class Part:
    """A part of a corpus: the lines that begin between two places of a shard."""

    number: int
    shard: Path
    start: int
    stop: int | None  # None: the end of the shard

    @property
    def name(self) -> str:
        """The number as a name of files; the names sort like the numbers."""
        return f"{self.number:06d}"


def shards_of(path: Path) -> list[Path]:
    """Return the shards of a corpus in their order.

    Raises:
        BadInput: there is no such corpus, or the folder has no shard.
    """
    if not path.exists():
        raise BadInput(f"{path} does not exist; expected a JSON Lines file: run the stage that makes it.")
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.iterdir() if file.name.endswith((".jsonl", COMPRESSED)))
    if not found:
        raise BadInput(
            f"{path} has no shard; expected files *.jsonl or *{COMPRESSED}: run the stage that makes it."
        )
    return found


def parts_of(path: Path, n_bytes: int) -> list[Part]:
    """Cut a corpus into parts of about `n_bytes` bytes; a compressed shard is one part.

    Raises:
        BadInput: as `shards_of` does.
    """
    ranges: list[tuple[Path, int, int | None]] = []
    for shard in shards_of(path):
        if shard.name.endswith(COMPRESSED):
            ranges.append((shard, 0, None))
        else:
            starts = range(0, max(1, shard.stat().st_size), n_bytes)
            ranges += [(shard, start, start + n_bytes) for start in starts]
    return [Part(number, *where) for number, where in enumerate(ranges)]


def read_part(part: Part, check: Callable[[dict[str, Any]], str] | None = None) -> Iterator[dict[str, Any]]:
    """Yield the rows of a part.

    Args:
        part: the part.
        check: returns what is wrong with a row; "" if nothing is.

    Raises:
        BadInput: a line is not a JSON object in UTF-8 or fails the check, or the shard is damaged; the message names
            the shard, and the line if there is one.
    """
    packed = part.shard.name.endswith(COMPRESSED)
    lines = _compressed_lines(part.shard) if packed else _lines(part.shard, part.start, part.stop)
    for number, line in enumerate(lines, start=1):
        try:
            row = parse_line(line)
            problem = check(row) if check else ""
        except ValueError as error:
            problem = str(error)
        if problem:
            raise BadInput(f"{part.shard}, line {number + _lines_before(part)}: {problem}")
        yield row


def parse_line(line: bytes) -> dict[str, Any]:
    """Return the JSON object of a line.

    Raises:
        BadInput: it is not a JSON object in UTF-8.
    """
    try:
        row = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise BadInput(
            f"byte 0x{line[error.start]:02x} at column {error.start} is not UTF-8; save the file as UTF-8 and run "
            f"again."
        ) from error
    except json.JSONDecodeError as error:
        raise BadInput(
            f"{error.msg} at column {error.colno}; expected one JSON object per line: correct the line."
        ) from error
    except RecursionError as error:
        raise BadInput(
            "it is nested too deeply; expected one JSON object per line: correct the line."
        ) from error
    if not isinstance(row, dict):
        raise BadInput(f"found {type(row).__name__}; expected one JSON object per line: correct it.")
    return row


def line_of(row: dict[str, Any]) -> bytes:
    """Return a row as a line of JSON; equal rows give equal bytes."""
    return (json.dumps(row, ensure_ascii=False) + "\n").encode()


@contextmanager
def writing(path: Path, *, as_is: bool = False) -> Iterator[IO[bytes]]:
    """Open a file to write; it gets its name when the block has succeeded, even if two workers write the same one.

    It is compressed if the name says so, unless it is to be written as it is, since it has been compressed before.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with open(temporary, "wb") as file:
            if path.name.endswith(COMPRESSED) and not as_is:
                packer = _zstandard(path).ZstdCompressor(level=LEVEL, write_checksum=True)
                with packer.stream_writer(file, closefd=False) as stream:
                    yield stream
            else:
                yield file
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def files_of(folder: Path, suffixes: tuple[str, ...], max_bytes: int) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the files of a folder whose names end so, in the order of the names.

    Raises:
        BadInput: there is none, one is too large, or one cannot be read.
    """
    files = sorted(file for file in folder.iterdir() if file.name.endswith(suffixes))
    if not files:
        expected = " or ".join(f"*{suffix}" for suffix in suffixes)
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


def write_shards(
    shards: Iterable[tuple[str, Iterable[bytes]]], folder: Path, *, as_is: bool
) -> tuple[int, str]:
    """Write shards into an existing folder, and return the number of bytes given and their SHA-256.

    Args:
        shards: names and pieces, which are read when they are needed.
        folder: where.
        as_is: as in `writing`.

    Raises:
        BadInput: two shards have the same name.
    """
    hashed, size = hashlib.sha256(), 0
    for name, pieces in shards:
        if (folder / name).exists():
            raise BadInput(f"two shards are called {name}; expected different names: rename one.")
        with writing(folder / name, as_is=as_is) as file:
            for piece in pieces:
                hashed.update(piece)
                size += len(piece)
                file.write(piece)
    return size, hashed.hexdigest()


def _lines(path: Path, start: int, stop: int | None) -> Iterator[bytes]:
    """Yield the lines that begin in [start, stop)."""
    with open(path, "rb") as file:
        at = start
        if start:
            file.seek(start - 1)
            at += len(file.readline()) - 1  # a line belongs to the part in which it begins
        while (stop is None or at < stop) and (ended := file.readline()):
            at += len(ended)
            yield from ended.splitlines()


def _lines_before(part: Part) -> int:
    """Return the number of lines of the shard that belong to earlier parts."""
    return sum(1 for _ in _lines(part.shard, 0, part.start)) if part.start else 0


def _compressed_lines(path: Path) -> Iterator[bytes]:
    zstandard, rest = _zstandard(path), b""
    try:
        for chunk in _decompressed(path):
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                yield from (line + b"\n").splitlines()
    except zstandard.ZstdError as error:
        raise BadInput(
            f"{path} is damaged ({error}); expected a whole shard: make or copy it again."
        ) from error
    yield from rest.splitlines()


def _decompressed(path: Path) -> Iterator[bytes]:
    """Yield the content of a compressed file in pieces.

    Raises:
        ZstdError: the file is damaged or not complete.
    """
    zstandard = _zstandard(path)
    with open(path, "rb") as file:
        frame, begun = zstandard.ZstdDecompressor().decompressobj(), False
        while data := file.read(CHUNK):
            while data:
                if frame.eof:
                    frame = zstandard.ZstdDecompressor().decompressobj()
                yield frame.decompress(data)
                begun, data = True, frame.unused_data
    if not (begun and frame.eof):
        raise zstandard.ZstdError("it ends early")


def _zstandard(path: Path) -> Any:
    try:
        import zstandard
    except ModuleNotFoundError as error:
        raise BadInput(
            f"{path} needs the package zstandard, which is not installed; expected it for compressed shards: pip "
            f"install 'groundup[pipeline]'"
        ) from error
    return zstandard
