"""JSON Lines: the format of all raw and prepared text.

A prepared dataset is a folder with one file per split, and report.json with the counts of its preparation.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from groundup.errors import BadInput
from groundup.files import atomic_path, write_json


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Read one JSON object per line.

    Raises:
        BadInput: the file is missing or not UTF-8, or a line is not a JSON object; the message names file and line.
    """
    return [*iterate_jsonl(path)]


def iterate_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """Read one JSON object per line, a line at a time.

    Raises:
        BadInput: as `read_jsonl` does.
    """
    if not Path(path).exists():
        raise BadInput(f"{path} does not exist; expected a JSON Lines file: run the stage that makes it.")
    with open(path, "rb") as file:
        lines = (line for ended in file for line in ended.splitlines())
        for number, line in enumerate(lines, start=1):
            try:
                row = json.loads(line.decode("utf-8"))
            except UnicodeDecodeError as error:
                raise BadInput(
                    f"{path}, line {number}: byte 0x{line[error.start]:02x} at column {error.start} is not UTF-8; "
                    f"save the file as UTF-8 and run again."
                ) from error
            except json.JSONDecodeError as error:
                raise BadInput(
                    f"{path}, line {number}: {error.msg} at column {error.colno}; expected one JSON object per line: "
                    f"correct the line."
                ) from error
            if not isinstance(row, dict):
                raise BadInput(
                    f"{path}, line {number}: found {type(row).__name__}; expected one JSON object per line: correct it."
                )
            yield row


def write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write one JSON object per line, atomically; equal rows give equal bytes."""
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


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
