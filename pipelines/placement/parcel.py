"""What a worker needs to run a stage, apart from the data that it pulls from DVC's remote.

The commit comes from git. Changes that are not committed, the lock files (which name the data) and small results that
DVC keeps in git are sent along, as the parameters of the flow run.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from groundup.errors import BadInput
from groundup.files import write_text
from groundup.lineage.locks import content_of, holds, split
from groundup.lineage.repository import apply, git, revision_of, uncommitted
from pipelines.lineage import open_repo, stage_entry

REMOTE = "origin"  # the git remote from which workers clone
LIMIT = 400_000  # characters; Prefect's server refuses parameters of more than 512 kB


@dataclass(frozen=True)
class Parcel:
    """The inputs of a stage."""

    commit: str
    patch: str  # the changes that are not committed
    entry: dict[str, Any]  # command, hashes of the dependencies, and parameters, as in dvc.lock
    locks: dict[str, str]  # lock files of the pipelines that made the inputs: path -> text
    files: dict[str, str]  # results that are in git instead of DVC's cache: path -> text
    targets: list[str]  # outputs of other stages to pull from DVC's remote


def repository(root: Path) -> str:
    """Return the address from which workers clone: that of the git remote, without a password.

    Raises:
        BadInput: there is no such git remote.
    """
    address = git(root, "remote", "get-url", REMOTE)
    if not address:
        raise BadInput(
            f"{root} has no git remote {REMOTE}, from which workers clone; add it: git remote add {REMOTE} ADDRESS"
        )
    parts = urlsplit(address)
    if parts.scheme in ("http", "https"):
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    # a relative path means the same in no other folder
    return str((root / address).resolve()) if not parts.scheme and (root / address).exists() else address


def pack(root: Path, stage: str) -> Parcel:
    """Return what a worker needs to run a stage.

    Raises:
        BadInput: the commit is not on the git remote, or the changes since then cannot be sent; the stage's inputs are
            missing.
    """
    revision = revision_of(root)
    commit, patch = revision.removesuffix("-dirty"), uncommitted(root)
    if not commit or f"{REMOTE}/" not in git(root, "branch", "--remotes", "--contains", commit):
        raise BadInput(
            f"commit {commit[:10] or '(none)'} is not on the git remote {REMOTE}, from which workers clone; push it "
            "(git push), then run again"
        )
    entry = json.loads(json.dumps(stage_entry(stage, root)))
    locks, files, targets = dict[str, str](), dict[str, str](), list[str]()
    for out, lock, cached in _inputs(root, stage):
        if lock.exists():
            locks[lock.relative_to(root).as_posix()] = lock.read_text(encoding="utf-8")
        if cached:
            targets.append(out)
        else:
            place = root / out
            inside = (
                sorted(file for file in place.rglob("*") if file.is_file()) if place.is_dir() else [place]
            )
            files |= {file.relative_to(root).as_posix(): file.read_text(encoding="utf-8") for file in inside}
    parcel = Parcel(commit, patch, entry, locks, files, targets)
    if (revision.endswith("-dirty") and not patch) or len(json.dumps(asdict(parcel))) > LIMIT:
        raise BadInput(
            f"the changes since commit {commit[:10]} are too large to send to a worker, or not text; commit and push "
            "them, then run again"
        )
    return parcel


def _inputs(root: Path, stage: str) -> Iterator[tuple[str, Path, bool]]:
    """Yield path, lock file and whether DVC caches it, for every output of other stages that a stage reads."""
    with open_repo(root) as repo:
        dvc_yaml, name = split(stage)
        loaded = repo.stage.load_one(str(root / dvc_yaml), name)
        deps = [_relative(dep, root) for dep in loaded.deps]
        made = [(one, out) for one in repo.index.stages for out in one.outs if out.protocol == "local"]
        for one, out in made:
            path = _relative(out, root)
            if any(holds(path, dep) or holds(dep, path) for dep in deps):
                yield path, Path(one.path).with_suffix(".lock"), out.use_cache


def _relative(item: Any, root: Path) -> str:
    path = Path(item.fs_path)
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def unpack(root: Path, parcel: Parcel) -> None:
    """Bring a clone to the state that a parcel describes, except for the data.

    Raises:
        BadInput: the clone is not a new one of the parcel's commit, or the changes do not fit.
    """
    found = revision_of(root)
    if found != parcel.commit:
        raise BadInput(
            f"the worker's clone {root} is at {found or 'no commit'}; expected a new clone of {parcel.commit}: leave "
            "working_dir of the work pool empty, so that Prefect makes a folder for each run"
        )
    if parcel.patch and not apply(root, parcel.patch):
        raise BadInput(
            f"the changes since commit {parcel.commit[:10]} cannot be applied on the worker; commit and push them"
        )
    for path, text in (parcel.locks | parcel.files).items():
        write_text(root / path, text)


def check_inputs(root: Path, stage: str, expected: Mapping[str, Any]) -> None:
    """Check that a stage has the same inputs here as at home, so that its results can be taken over.

    Args:
        root: the clone, with its data.
        stage: DVC's name of the stage.
        expected: the stage's entry at home.

    Raises:
        BadInput: an input is missing or differs.
    """
    found = stage_entry(stage, root)
    ours, theirs = (
        {dep["path"]: content_of(dep) for dep in entry.get("deps", [])} for entry in (found, expected)
    )
    differing = [path for path in sorted(ours | theirs) if ours.get(path) != theirs.get(path)]
    differing += [key for key in ("cmd", "params") if _plain(found.get(key)) != _plain(expected.get(key))]
    if differing:
        raise BadInput(
            f"on the worker, {', '.join(differing)} differ from what {stage} reads at home; commit new files (git add) "
            "and push, then run again"
        )


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))
