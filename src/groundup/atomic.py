"""Files that are either whole or absent, whenever the process dies."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target`; rename it onto `target` once the block has succeeded.

    The block may write a file or a directory there. Data reaches the disk before the rename, so a crash at any
    point leaves the old target or the new one, never a half. On an error the temporary path is removed.

    Raises:
        OSError: the disk is full or the folder cannot be written; `target` is then unchanged.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    _remove(temporary)
    try:
        yield temporary
        for path in [temporary, *temporary.rglob("*")] if temporary.is_dir() else [temporary]:
            _fsync(path)
        if target.is_dir():  # os.replace cannot put a directory onto a non-empty one
            _remove(target)
        os.replace(temporary, target)
        _fsync(target.parent)
    finally:
        _remove(temporary)


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
