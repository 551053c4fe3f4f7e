"""Files that are either whole or absent, whenever the process dies."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target`; rename it onto `target` once the block has succeeded.

    The block may write a file or a directory there. Data reaches the disk before the rename, so a crash at any
    point leaves the old target or the new one, never a half; only while a directory is replaced by another, for
    the instant between two renames, there is neither. On an error the temporary path is removed; what a killed
    process left behind, the next one that writes the same target removes.

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
        if (
            target.is_dir() and not target.is_symlink()
        ):  # os.replace cannot put anything onto a full directory
            os.replace(target, aside)
        os.replace(temporary, target)
        _fsync(target.parent)
    finally:
        _remove(temporary)
        _remove(aside)


def _remove_leftovers(target: Path) -> None:
    """Remove the temporary paths of processes that were killed; one that still runs keeps its own."""
    name = re.compile(rf"\.{re.escape(target.name)}\.(\d+)(\.old)?\.tmp")
    for path in list(target.parent.iterdir()):
        match = name.fullmatch(path.name)
        if match and (int(match[1]) == os.getpid() or not psutil.pid_exists(int(match[1]))):
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
