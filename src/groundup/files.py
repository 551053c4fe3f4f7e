"""Atomic writing, with files whole or absent even if the process dies, and locks between processes."""

import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout

from groundup.errors import BadInput

QUIET_SECONDS = 5.0  # a wait that takes longer is reported


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of `target`, and rename it to `target` when the block has succeeded.

    The block may write a file or a directory there. Data reaches the disk before the rename, so a crash leaves the old
    target or the new one, never a part. The exception: while a directory is replaced, for the instant between two
    renames, the old one has another name. After an error, the old target is restored and the temporary path removed;
    if the process was killed, the next process that writes the same target does this.

    Raises:
        OSError: the disk is full or the folder cannot be written; `target` is unchanged.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    aside = temporary.with_suffix(".old.tmp")
    _remove_leftovers(target)
    try:
        yield temporary
        for path in [temporary, *temporary.rglob("*")] if temporary.is_dir() else [temporary]:
            sync(path)
        if target.is_dir() and not target.is_symlink():
            os.replace(target, aside)  # os.replace cannot replace a directory that is not empty
        os.replace(temporary, target)
        sync(target.parent)
    finally:
        _remove(temporary)
        _put_back_or_remove(aside, target)


def require_no_folder(path: Path) -> None:
    """Raise BadInput if the file to write, which a user has named, is a folder, which would be replaced as a whole."""
    if path.is_dir():
        raise BadInput(f"{path} is a folder; expected a file to write: give the path of a file.")


@contextmanager
def scratch_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside `target` for intermediate files, and remove it at the end.

    If the process was killed, the next process that writes `target` removes it. The block must not write `target`.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    _remove_leftovers(target)
    folder.mkdir()
    try:
        yield folder
    finally:
        _remove(folder)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically, in a form that diffs well; equal values give equal bytes."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


@contextmanager
def held(path: Path, purpose: str, seconds: float) -> Iterator[None]:
    """Hold a lock, which is a file, while the block runs.

    Args:
        path: the file; its folder exists.
        purpose: what the lock is for, to complete "waiting for another process to", such as "open the store".
        seconds: the longest wait.

    Raises:
        BadInput: another process has held the lock all the time, as one does that was suspended.
        OSError: the file cannot be made.
    """
    lock = FileLock(path)
    try:
        try:
            lock.acquire(timeout=min(QUIET_SECONDS, seconds))
        except Timeout:
            limit = f"{seconds / 60:.0f} minutes" if seconds > 120 else f"{seconds:g} seconds"
            print(
                f"note: waiting for another process to {purpose}, for at most {limit} (lock: {path})",
                file=sys.stderr,
            )
            lock.acquire(timeout=seconds)
    except Timeout:
        raise BadInput(
            f"waited {seconds:g} s for another process to {purpose}, which still holds {path}; expected it to end: end "
            f"or resume that process, and try again"
        ) from None
    try:
        yield
    finally:
        lock.release()


def _put_back_or_remove(aside: Path, target: Path) -> None:
    """Restore the old directory if no new one has taken its place; otherwise remove the old one."""
    if os.path.lexists(aside) and not os.path.lexists(target):
        os.replace(aside, target)
    _remove(aside)


def _remove_leftovers(target: Path) -> None:
    """Remove what killed processes left of `target`; keep the temporary paths of running processes."""
    name = re.compile(rf"\.{re.escape(target.name)}\.(\d+)(\.old)?\.tmp")
    for path in list(target.parent.iterdir()):
        match = name.fullmatch(path.name)
        if match and (int(match[1]) == os.getpid() or not psutil.pid_exists(int(match[1]))):
            if match[2]:
                _put_back_or_remove(path, target)
            else:
                _remove(path)


def sync(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
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
