"""Files that are either whole or absent, whenever the process dies."""

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target`; rename it onto `target` once the block has succeeded.

    The block may write a file or a directory there. Data reaches the disk before the rename, so a crash at any
    point leaves the old target or the new one, never a half; only while a directory is replaced, for the instant
    between two renames, the old one lies aside under another name. On an error the old target is put back and the
    temporary path removed; for a process that was killed, the next one that writes the same target does so.

    Raises:
        OSError: the disk is full or the folder cannot be written; `target` is then unchanged.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    aside = temporary.with_suffix(".old.tmp")
    _remove_leftovers(target)
    try:
        yield temporary
        for path in [temporary, *temporary.rglob("*")] if temporary.is_dir() else [temporary]:
            _fsync(path)
        if target.is_dir() and not target.is_symlink():
            os.replace(target, aside)  # os.replace cannot put anything onto a full directory
        os.replace(temporary, target)
        _fsync(target.parent)
    finally:
        _remove(temporary)
        _put_back_or_remove(aside, target)


def write_text(path: Path, text: str) -> None:
    """Write a text file, UTF-8, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file, atomically; equal values give equal bytes, readable as a diff."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """What a JSON file holds."""
    return json.loads(path.read_text(encoding="utf-8"))


def _put_back_or_remove(aside: Path, target: Path) -> None:
    """The old directory that made room for a new one: needed where the new one did not come."""
    if os.path.lexists(aside) and not os.path.lexists(target):
        os.replace(aside, target)
    _remove(aside)


def _remove_leftovers(target: Path) -> None:
    """Clear away the temporary paths of processes that were killed; one that still runs keeps its own."""
    name = re.compile(rf"\.{re.escape(target.name)}\.(\d+)(\.old)?\.tmp")
    for path in list(target.parent.iterdir()):
        match = name.fullmatch(path.name)
        if match and (int(match[1]) == os.getpid() or not psutil.pid_exists(int(match[1]))):
            if match[2]:
                _put_back_or_remove(path, target)
            else:
                _remove(path)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
