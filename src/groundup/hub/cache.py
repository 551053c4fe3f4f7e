"""The user's cache of imported models: `groundup/models` in the folder XDG_CACHE_HOME, by default ~/.cache.

Each entry is a checkpoint folder, whole or absent. Its name ends with a hash of what it was made from, so that another
revision, other weights or another version of groundup make another entry.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from groundup.errors import BadInput
from groundup.files import atomic_path, held

LOCK_SECONDS = 3600.0  # for the download and import of a large model by another process


@dataclass(frozen=True)
class Entry:
    """A cached model: its name, and its size in bytes."""

    name: str
    bytes: int


def cache_folder() -> Path:
    """Return the folder of the cache, which need not exist.

    Raises:
        BadInput: the user has no home, as in a container that runs as an unknown user.
    """
    try:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError as error:
        raise BadInput(
            "there is no home for the cache of models; expected HOME or XDG_CACHE_HOME: set one to a folder."
        ) from error
    return Path(base) / "groundup" / "models"


def entry_name(name: str, facts: Iterable[str]) -> str:
    """Return the name of the entry of a model that was made from `facts`, such as the checksums of its files."""
    try:
        ours = version("groundup")
    except PackageNotFoundError:  # run from the source without an installation
        ours = ""
    return f"{name}-{hashlib.sha256(repr([ours, *facts]).encode()).hexdigest()[:12]}"


def cached(name: str, make: Callable[[Path], None]) -> Path:
    """Return the folder of the entry `name`; if it is missing, `make` writes it at the path that it is given.

    If several processes need the same entry, one makes it while the others wait, for at most LOCK_SECONDS.

    Raises:
        BadInput: the folder cannot be written; otherwise as `make` does.
    """
    target = cache_folder() / name
    if target.is_dir():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with held(target.parent / f".{name}.lock", f"download and import {name}", LOCK_SECONDS):
            if not target.is_dir():
                with atomic_path(target) as temporary:
                    make(temporary)
    except BadInput:
        raise
    except OSError as error:
        reason = error.strerror or error
        raise BadInput(
            f"{target.parent} cannot keep the model ({reason}); expected a folder with room for it: "
            f"free some space (groundup models --cache), or set XDG_CACHE_HOME to another folder."
        ) from error
    return target


def entries() -> list[Entry]:
    """Return the cached models, sorted by name."""
    folders = sorted(path for path in cache_folder().glob("[!.]*") if path.is_dir())
    return [
        Entry(path.name, sum(file.stat().st_size for file in path.rglob("*") if file.is_file()))
        for path in folders
    ]


def remove(name: str) -> int:
    """Remove a cached model, and return the number of bytes that this freed.

    Raises:
        BadInput: there is no such model.
    """
    known = {entry.name: entry.bytes for entry in entries()}
    if name not in known:
        raise BadInput(
            f"there is no {name} in {cache_folder()}; expected one of {', '.join(known) or 'none: it is empty'}."
        )
    shutil.rmtree(cache_folder() / name)
    return known[name]
