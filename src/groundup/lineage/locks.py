"""Entries of dvc.lock files: which stage made which bytes from which inputs. They are read without DVC.

An entry has the shape that DVC writes: `cmd`, `deps`, `params` and `outs`, with an MD5 for each file and folder. The
lock files in the project's folder have only the last run of each stage. Earlier runs are in commits and in DVC's run
cache, which keeps the entry of every run on this machine.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from groundup.lineage.repository import commits, git, is_commit, md5_of, show
from groundup.tracking.pointers import cache_folder, cached

LOCK = "dvc.lock"
# names of two sources; all others are called `commit <revision>`
FOLDER = "the project's folder"
RUN_CACHE = "DVC's run cache"


def workspace(here: Path | None = None) -> Path:
    """Return the DVC project that contains `here` (default: the working folder); without one, `here` itself.

    DVC_ROOT cannot be used: in the temporary folders of `dvc exp run --temp` and `--queue` it names the main project.
    """
    here = here or Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / ".dvc").is_dir()), here)


def stage_key(entry: Mapping[str, Any]) -> str:
    """Return a hash of the stage's inputs: command, parameters and the hashes of its dependencies.

    `entry` has the shape of a stage in dvc.lock. Outputs are not part of the key, so it is the same before the stage
    runs, while it runs and in the lock file afterwards.
    """
    deps = sorted((dep["path"], content_of(dep)) for dep in entry.get("deps", []))
    facts = {"cmd": entry["cmd"], "deps": deps, "params": entry.get("params", {})}
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:32]


def content_of(item: Mapping[str, Any]) -> str:
    """Return the MD5 of a dependency or output in a lock file, or the ETag or checksum of a remote one."""
    return str(next((item[key] for key in ("md5", "etag", "checksum") if key in item), ""))


def is_code(path: Path) -> bool:
    """Return whether a dependency is a Python module or a folder that contains one."""
    return path.suffix == ".py" if not path.is_dir() else next(path.rglob("*.py"), None) is not None


def holds(outer: str, inner: str) -> bool:
    """Return whether the path `outer` is `inner`, or a folder that contains it."""
    return inner == outer or inner.startswith(f"{outer}/")


@dataclass(frozen=True)
class Locked:
    """One run of a stage, as recorded in a lock file or in DVC's run cache.

    Attributes:
        stage: DVC's name of the stage in the project's folder, such as `pipelines/study/dvc.yaml:ladder`; "" as read
            from the run cache, which has no names (see `Locks.named`).
        entry: the stage's entry as DVC wrote it.
        source: where the entry was read, such as "commit 0123456789".
    """

    stage: str
    entry: Mapping[str, Any]
    source: str

    @cached_property
    def key(self) -> str:
        """The stage key, see `stage_key`."""
        return stage_key(self.entry)

    @property
    def outs(self) -> dict[str, str]:
        """The hash of each output, by path."""
        return {out["path"]: content_of(out) for out in self.entry.get("outs", [])}

    @property
    def deps(self) -> dict[str, str]:
        """The hash of each dependency, by path."""
        return {dep["path"]: content_of(dep) for dep in self.entry.get("deps", [])}


@dataclass(frozen=True)
class Source:
    """One lock file, or one entry of the run cache, as text; it is parsed only when its entries are needed."""

    name: str
    dvc_yaml: str  # "" for an entry of the run cache
    text: str
    past: bool = False  # read from the history of the lock file, not from the revision that was asked for

    def has(self, words: tuple[str, ...]) -> bool:
        """Return whether every word occurs in the text, to spare parsing, which takes a thousand times as long."""
        return all(word in self.text for word in words)

    @cached_property
    def entries(self) -> tuple[Locked, ...]:
        """The entries of the stages; none if the text is no lock file (a killed run may leave an incomplete one)."""
        try:
            # unlike PyYAML, it reads 5e-4 as a number, as DVC does
            content = YAML(typ="safe").load(self.text)
        except YAMLError:
            return ()
        if not isinstance(content, dict):
            return ()
        if not self.dvc_yaml:
            return (Locked("", content, self.name),) if "cmd" in content else ()
        stages = content.get("stages") or {}
        return tuple(Locked(address(self.dvc_yaml, name), one, self.name) for name, one in stages.items())


def address(dvc_yaml: str, name: str) -> str:
    """Return DVC's name of a stage in the project's folder; DVC's own `addressing` depends on the working folder."""
    return name if dvc_yaml == "dvc.yaml" else f"{dvc_yaml}:{name}"


def split(stage: str) -> tuple[str, str]:
    """Return the dvc.yaml of a stage and the stage's name in it."""
    dvc_yaml, _, name = stage.rpartition(":")
    return dvc_yaml or "dvc.yaml", name


class Locks:
    """All records of stages that a project has.

    They are searched in this order: lock files of a revision, those in the project's folder, DVC's run cache, lock
    files of all commits.
    """

    def __init__(self, root: Path, revision: str = "") -> None:
        """Search the lock files of `revision` first; without one, those in the project's folder."""
        self.root, self.revision = root, revision.removesuffix("-dirty")
        self._sources: list[Source] = []
        self._unread = self._read()

    def find(self, key: str, *words: str) -> Locked | None:
        """Return the record with this stage key, or None.

        Args:
            key: the stage key.
            words: texts that the record contains, such as hashes of its data, which make the search quick.
        """
        return next((one for one in self._having(words) if one.key == key), None)

    def maker(self, path: str, md5: str, near: str = "") -> Locked | None:
        """Return the record of the stage that wrote `path` with this hash, or None.

        A record from the source called `near` comes first. If no record has the path, the stage in `near` that wrote a
        folder around it is returned: a lock file has only the hash of the whole folder.
        """
        made = (one for one in self._having((md5,)) if one.outs.get(path) == md5)
        around = [one for source in self._sources if source.name == near for one in source.entries]
        for one in around:
            if one.outs.get(path) == md5:
                return self.named(one)
        if found := next(made, None):
            return self.named(found)
        return next((one for one in around if any(holds(out, path) for out in one.outs if out != path)), None)

    def users(self, made: Locked) -> list[Locked]:
        """Return the records of the stages that read an output of `made` with the same hash, one per stage key."""
        found: dict[str, Locked] = {}
        for path, md5 in made.outs.items():
            for one in self._having((md5,)):
                if one.deps.get(path) == md5:
                    found.setdefault(one.key, self.named(one))
        return list(found.values())

    def stage_of(self, path: str) -> Locked | None:
        """Return the record, in the project's lock files, of the stage whose output is `path`, or None."""
        found = (
            one for one in self._having((path,), past=False) if path in one.outs and one.source == FOLDER
        )
        return next(found, None)

    def named(self, one: Locked) -> Locked:
        """Return the record with its stage's name, which records of the run cache lack.

        The name is that of a stage with the same first output in another source, or `former stage of <output>`.
        """
        if one.stage or not one.outs:
            return one
        first = next(iter(one.outs))
        alike = (other.stage for other in self._having((first,)) if other.stage and first in other.outs)
        return Locked(next(alike, f"former stage of {first}"), one.entry, one.source)

    def _having(self, words: tuple[str, ...], past: bool = True) -> Iterator[Locked]:
        """Yield the records of the sources that contain every word; last, and only if `past`, those of old commits."""
        for source in self._all():
            if source.past and not past:
                return
            if source.has(words):
                yield from source.entries

    def _all(self) -> Iterator[Source]:
        """Yield the sources in order; each is read when it is first asked for."""
        position = 0
        while True:
            if position == len(self._sources):
                source = next(self._unread, None)
                if source is None:
                    return
                self._sources.append(source)
            yield self._sources[position]
            position += 1

    def _read(self) -> Iterator[Source]:
        here = sorted({LOCK, *(path.relative_to(self.root).as_posix() for path in self._beside())})
        if is_commit(self.root, self.revision):
            for lock in self._committed(self.revision):
                yield self._of_commit(self.revision, lock)
        for lock in here:
            if (self.root / lock).is_file():
                yield Source(FOLDER, _dvc_yaml(lock), (self.root / lock).read_text(encoding="utf-8"))
        for file in sorted((cache_folder(self.root) / "runs").glob("*/*/*")):
            yield Source(RUN_CACHE, "", file.read_text(encoding="utf-8"))
        for lock in sorted({*here, *self._committed("HEAD")}):
            for commit in commits(self.root, lock):
                yield self._of_commit(commit, lock, past=True)

    def _beside(self) -> list[Path]:
        """Return the lock files of the other pipelines."""
        return sorted(self.root.glob(f"pipelines/*/{LOCK}"))

    def _committed(self, revision: str) -> list[str]:
        listed = git(self.root, "ls-tree", "-r", "--name-only", revision).splitlines()
        return [name for name in listed if name == LOCK or name.endswith(f"/{LOCK}")]

    def _of_commit(self, commit: str, lock: str, past: bool = False) -> Source:
        text = show(self.root, commit, lock).decode("utf-8", errors="replace")
        return Source(f"commit {commit[:10]}", _dvc_yaml(lock), text, past)


def _dvc_yaml(lock: str) -> str:
    return f"{lock.removesuffix('lock')}yaml"


def listing(root: Path, md5: str) -> dict[str, str] | None:
    """Return the MD5 of each file in a folder, by its path in it, from DVC's cache; None if the listing is not there.

    Args:
        root: the project's folder.
        md5: the hash of the folder, which ends in `.dir`.
    """
    file = cached(root, md5)
    if not file.is_file():
        return None
    return {one["relpath"]: one["md5"] for one in json.loads(file.read_text(encoding="utf-8"))}


def folder_hash(folder: Path) -> str:
    """Return the hash that DVC gives a folder; files that .dvcignore lists must not be in it."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    rows = [
        {"md5": md5_of(file.read_bytes()), "relpath": file.relative_to(folder).as_posix()} for file in files
    ]
    return f"{md5_of(json.dumps(sorted(rows, key=lambda row: row['relpath'])).encode())}.dir"
