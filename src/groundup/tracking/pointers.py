"""Pointers of registered models to large weights, which stay where DVC keeps them until a model is loaded.

MLflow would copy the weights into its own store; over HTTP that takes minutes and many gigabytes of memory per gigabyte
(mlflow#22665). DVC has the same bytes already, under their MD5.
"""

import configparser
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from groundup.errors import BadInput
from groundup.files import read_json, write_json

WEIGHTS = "model.safetensors"
POINTER = "weights.json"
# environment variable with the project's folder, in which weights and base models of adapters are looked for first
ROOT_VARIABLE = "GROUNDUP_ROOT"


def md5_of(path: Path) -> str:
    """Return the MD5 of a file, in hex, which is also DVC's name for its content; of a folder, that of its files'."""
    if path.is_dir():
        together = "".join(f"{file.name} {md5_of(file)}\n" for file in sorted(path.iterdir()))
        return hashlib.md5(together.encode(), usedforsecurity=False).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def place_in(project: Path, path: Path) -> str:
    """Return a path relative to the project's folder, so that the project can be moved; absolute if it is outside.

    If DVC has replaced the file by a link to its cache, the path is that of the link.
    """
    project, path = project.resolve(), path.parent.resolve() / path.name
    return (path.relative_to(project) if path.is_relative_to(project) else path).as_posix()


@contextmanager
def stored_form(checkpoint: Path, workspace: Path, limit: float, revision: str) -> Iterator[Path]:
    """Yield the folder to store for a checkpoint: itself, or a copy with a pointer if its weights exceed `limit` bytes.

    The pointer (weights.json) has the path of the weights in the project, their MD5 and size in bytes, the git revision
    and the name of DVC's default remote.

    Args:
        checkpoint: the checkpoint's folder, in `workspace`.
        workspace: the DVC project in which the checkpoint was made; may be a temporary copy.
        limit: the largest size of weights to copy, in bytes.
        revision: the git revision at which `dvc pull` finds the weights.
    """
    weights = checkpoint / WEIGHTS
    if not weights.exists() or weights.stat().st_size <= limit:
        yield checkpoint
        return
    with TemporaryDirectory() as folder:
        copy = Path(folder, checkpoint.name)
        shutil.copytree(checkpoint, copy, ignore=shutil.ignore_patterns(WEIGHTS))
        facts = {"md5": md5_of(weights), "bytes": weights.stat().st_size, "revision": revision}
        remote = dvc_settings(workspace).get("core", "remote", fallback="")
        write_json(copy / POINTER, {"path": place_in(workspace, weights), "remote": remote, **facts})
        yield copy


@contextmanager
def complete(stored: Path) -> Iterator[Path]:
    """Yield a folder with all files of a stored checkpoint: itself, or links to its files and to DVC's weights.

    Raises:
        BadInput: the weights that the pointer names are not on this machine.
    """
    if not (stored / POINTER).exists():
        yield stored
        return
    with TemporaryDirectory() as folder:
        whole = Path(folder, stored.name)
        whole.mkdir()
        for file in stored.iterdir():
            (whole / file.name).symlink_to(file.resolve())
        link_weights(whole, stored)
        yield whole


def link_weights(checkpoint: Path, *near: Path) -> None:
    """If a checkpoint's folder has a pointer instead of its weights, put a link to DVC's weights into it.

    The weights are looked for in the DVC projects that contain the folder in GROUNDUP_ROOT, the working folder or one
    of the folders `near`, in this order.

    Raises:
        BadInput: the weights that the pointer names are not on this machine.
    """
    if not (checkpoint / POINTER).exists() or (checkpoint / WEIGHTS).exists():
        return
    pointer = read_json(checkpoint / POINTER)
    given = os.environ.get(ROOT_VARIABLE)
    projects = [*_projects(*([Path(given)] if given else []), Path.cwd(), *near)]
    for project in projects:
        for place in (project / pointer["path"], cached(project, pointer["md5"])):
            if _is_it(place, pointer):
                (checkpoint / WEIGHTS).symlink_to(place.resolve())
                return
    places = " or ".join(map(str, projects)) or f"a project around {Path.cwd()}"
    command = f"dvc pull {Path(pointer['path']).parent.as_posix()}"
    if pointer["remote"]:
        command += f" -r {pointer['remote']}"
    raise BadInput(
        f"the weights of this model ({pointer['bytes'] / 1e6:.0f} MB, MD5 {pointer['md5']}) are neither in "
        f"{pointer['path']} nor in DVC's cache of {places}; get them in the project's folder, at git revision "
        f"{pointer['revision'] or 'of the model'}: {command}"
    )


def _is_it(place: Path, pointer: dict[str, Any]) -> bool:
    return place.is_file() and place.stat().st_size == pointer["bytes"] and md5_of(place) == pointer["md5"]


def dvc_settings(project: Path) -> configparser.ConfigParser:
    """Return the settings of the project's .dvc/config and .dvc/config.local, which overrides the first."""
    settings = configparser.ConfigParser(strict=False, interpolation=None)
    settings.read([project / ".dvc" / "config", project / ".dvc" / "config.local"], encoding="utf-8")
    return settings


def cache_folder(project: Path) -> Path:
    """Return the folder of DVC's cache: .dvc/cache, or the one that `dvc cache dir` has chosen for this project."""
    chosen = dvc_settings(project).get("cache", "dir", fallback="cache")
    return Path(os.path.normpath(project / ".dvc" / chosen))


def cached(project: Path, md5: str) -> Path:
    """Return the path of a file, or of a folder's listing, in DVC's cache, whether or not it exists."""
    return cache_folder(project) / "files" / "md5" / md5[:2] / md5[2:]


def _projects(*places: Path) -> Iterable[Path]:
    """Return the DVC projects that contain one of the places: in the order of the places, innermost first."""
    folders = [folder for place in places for folder in (place.resolve(), *place.resolve().parents)]
    return dict.fromkeys(folder for folder in folders if (folder / ".dvc").is_dir())
