"""Make a model again in a temporary worktree of its commit, and compare the weights byte by byte."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from groundup.errors import BadInput
from groundup.lineage.chain import Item, Step
from groundup.lineage.locks import LOCK, Locked, Source, folder_hash, listing, split, stage_key
from groundup.lineage.records import ENVIRONMENT, PATCH
from groundup.lineage.repository import apply, is_commit, md5_of, version_with
from groundup.lineage.runs import WEIGHTS, RunFacts, Weights, weights_in
from groundup.lineage.trace import Trace
from groundup.lineage.worktree import run_dvc, worktree
from groundup.tracking.environment import differences, environment
from groundup.tracking.pointers import cache_folder, cached, dvc_settings

Say = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """The comparison of a model with the same model made again.

    Attributes:
        recorded, found: the weights of the model, and those made again.
        inputs: sentences on inputs that differ from the recorded ones; empty if all are the same.
        outs: the recorded hash and the new hash of each output, by path; the new one is "" if the output is missing.
        machine: facts of machine and packages that differ; None if the run did not record them.
    """

    recorded: Weights
    found: Weights
    inputs: tuple[str, ...]
    outs: Mapping[str, tuple[str, str]]
    machine: tuple[str, ...] | None

    @property
    def identical(self) -> bool:
        """Whether both weights have the same MD5 and, if it was recorded, the same SHA-256."""
        return self.recorded.md5 == self.found.md5 and (
            not self.recorded.sha256 or self.recorded.sha256 == self.found.sha256
        )


def reproduce(root: Path, model: Trace, *, from_scratch: bool, say: Say) -> Outcome:
    """Run the stage that made a model again, in a worktree of its commit, and compare the weights.

    Args:
        root: the project's folder.
        model: the model's lineage.
        from_scratch: also run all stages behind it, from the download on, with an empty cache; otherwise its data are
            taken from git, DVC's cache or remote.
        say: receives one line of progress for each step.

    Raises:
        BadInput: the model's revision, weights or data are unknown or missing, or a stage failed.
    """
    run, recorded = _needed(root, model)
    step = model.step
    revision = run.revision.removesuffix("-dirty")
    with worktree(root, revision) as place:
        say(f"commit {revision[:10]} is checked out in {place}")
        _restore_changes(place, run, say)
        for sentence in _restore_values(place, model.chain):
            say(sentence)
        if from_scratch:
            _remove_locks(place)
            _supply_user_data(root, place, model.chain)
            command = ["repro", "--no-run-cache", step.stage]
        else:
            _supply_data(root, place, model, revision)
            command = ["repro", "--single-item", "--force", "--no-commit", step.stage]
        # the project's run cache must neither restore the stage nor receive this run
        _write_config(place, place, place / ".dvc" / "cache")
        say(f"dvc {' '.join(command)} (what it says about git and dvc push concerns this temporary folder)")
        if code := run_dvc(place, *command):
            raise BadInput(
                f"dvc ended with {code} in the worktree of {revision[:10]}; its output is above: correct what it "
                "names and try again"
            )
        return _compare(place, model, run, recorded)


def _needed(root: Path, model: Trace) -> tuple[RunFacts, Weights]:
    if model.run is None:
        raise BadInput(
            f"the run that made {model.title} is not in this store, so its git revision is not known; expected the "
            "store of the project that made it"
        )
    if model.weights is None:
        raise BadInput(
            f"{model.title} has no recorded weights to compare with; expected {WEIGHTS} in its registered version"
        )
    revision = model.run.revision.removesuffix("-dirty")
    if not is_commit(root, revision):
        raise BadInput(
            f"{model.title} was made at the git revision {revision or 'none'}, which this repository does not have; "
            "fetch it (git fetch --all) and try again"
        )
    return model.run, model.weights


def _restore_changes(place: Path, run: RunFacts, say: Say) -> None:
    """Apply the changes that were not committed when the model was made."""
    if not run.revision.endswith("-dirty"):
        return
    patch = run.records.get(PATCH)
    if patch and apply(place, patch):
        say("the model was made with uncommitted changes; they are applied from its run")
    else:
        say(
            "the model was made with uncommitted changes that its run did not keep, so the code may differ; the values "
            "are taken from the run"
        )


def _restore_values(place: Path, steps: Sequence[Step]) -> Iterator[str]:
    """Write the recorded values into the worktree's params.yaml files; yield one sentence for each that differed."""
    for file in sorted({file for step in steps for file in step.params if Path(file).name == "params.yaml"}):
        path = place / file
        yaml = YAML(typ="safe")
        values = (yaml.load(path.read_text(encoding="utf-8")) if path.is_file() else None) or {}
        changed = False
        for step in steps:
            for name, wanted in step.params.get(file, {}).items():
                *parents, last = name.split(".")
                section = values
                for parent in parents:
                    section = section.setdefault(parent, {})
                if section.get(last) != wanted:
                    section[last], changed = wanted, True
                    yield f"{file}, {name}: taken from the run of {step.stage}, since the commit has other values"
        if changed:
            with path.open("w", encoding="utf-8") as opened:
                yaml.dump(values, opened)


def _remove_locks(place: Path) -> None:
    """Remove the worktree's lock files, so that every stage runs."""
    for lock in (place / LOCK, *place.glob(f"pipelines/*/{LOCK}")):
        lock.unlink(missing_ok=True)


def _write_locks(place: Path, steps: Sequence[Step]) -> None:
    """Write the recorded entries as the worktree's lock files, since those of the commit may be of earlier runs."""
    found: dict[str, dict[str, Any]] = {}
    for step in steps:
        dvc_yaml, name = split(step.stage)
        if (place / dvc_yaml).is_file() and "outs" in step.entry:
            found.setdefault(dvc_yaml, {})[name] = step.entry
    for dvc_yaml, stages in found.items():
        with (place / dvc_yaml).with_suffix(".lock").open("w", encoding="utf-8") as opened:
            YAML(typ="safe").dump({"schema": "2.0", "stages": stages}, opened)


def _supply_data(root: Path, place: Path, model: Trace, revision: str) -> None:
    """Put the data of a training into the worktree: from git, DVC's cache, the user's own files, or DVC's remote.

    Raises:
        BadInput: none of them has the data with the recorded hash.
    """
    missing = [item for item in model.step.data if not _is_there(place, item)]
    missing = [item for item in missing if not _from_git(root, place, item, revision)]
    missing = [item for item in missing if not _from_cache(root, place, item)]
    missing = [item for item in missing if item.made_by or not _from_project(root, place, item)]
    if not missing:
        return
    _write_locks(place, model.chain)
    _write_config(root, place, cache_folder(root))
    run_dvc(place, "pull", *(item.path for item in missing))
    if lost := [item.path for item in missing if not _is_there(place, item)]:
        raise BadInput(
            f"neither git nor DVC's cache nor a remote has {', '.join(lost)} as {model.step.stage} read it; run again "
            "with --from-scratch, which makes all data again"
        )


def _supply_user_data(root: Path, place: Path, steps: Sequence[Step]) -> None:
    """Copy data that no stage made, such as the user's own files, from the project if the worktree lacks them."""
    for item in {item.path: item for step in steps for item in step.data if not item.made_by}.values():
        if not _is_there(place, item):
            _from_project(root, place, item)


def _is_there(place: Path, item: Item) -> bool:
    path = place / item.path
    if path.is_dir():
        return folder_hash(path) == item.hash
    return path.is_file() and md5_of(path.read_bytes()) == item.hash


def _from_git(root: Path, place: Path, item: Item, revision: str) -> bool:
    """Copy a file that git keeps, such as metrics, as it is in the commit or folder in which it has this hash.

    Return False if there is none.
    """
    if item.hash.endswith(".dir"):
        return False
    content = version_with(root, item.path, item.hash, revision)
    if content is None:
        return False
    (place / item.path).parent.mkdir(parents=True, exist_ok=True)
    (place / item.path).write_bytes(content)
    return True


def _from_cache(root: Path, place: Path, item: Item) -> bool:
    """Copy a file or folder from DVC's cache; return False if it is not there.

    `dvc checkout` would not do: it leaves out metrics, which git keeps.
    """
    folder = item.hash.endswith(".dir")
    files = listing(root, item.hash) if folder else {"": item.hash}
    if files is None or not all(cached(root, md5).is_file() for md5 in files.values()):
        return False
    if folder:
        shutil.rmtree(place / item.path, ignore_errors=True)
        (place / item.path).mkdir(parents=True)
    for name, md5 in files.items():
        target = place / item.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(cached(root, md5), target)
    return True


def _from_project(root: Path, place: Path, item: Item) -> bool:
    source, target = root / item.path, place / item.path
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    elif source.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    return source.exists()


def _write_config(root: Path, place: Path, cache: Path) -> None:
    """Write DVC's settings for the worktree: those of `root`, with this cache and with absolute paths of remotes."""
    settings = dvc_settings(root)
    if not settings.has_section("cache"):
        settings.add_section("cache")
    settings["cache"]["dir"] = str(cache)
    for name in settings.sections():
        url = settings[name].get("url") if name.startswith("'remote ") else None
        if url and "://" not in url:
            settings[name]["url"] = str((root / ".dvc" / url).resolve())
    with (place / ".dvc" / "config.local").open("w", encoding="utf-8") as opened:
        settings.write(opened)


def _compare(place: Path, model: Trace, run: RunFacts, recorded: Weights) -> Outcome:
    step = model.step
    made = _entry_in(place, step.stage)
    now = Locked(step.stage, made, "")
    files = [place / path / WEIGHTS for path in now.outs]
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        raise BadInput(
            f"{step.stage} wrote no {WEIGHTS} in the worktree; expected one in {model.title}'s outputs"
        )
    outs = {out.path: (out.hash, now.outs.get(out.path, "")) for out in step.outs}
    before = run.environment
    machine = None if before is None else tuple(differences(before, _environment_in(place)))
    wanted = run.entry or step.entry  # pipelines.settle may have changed the entry in the lock file since
    return Outcome(recorded, weights_in(file, "the worktree"), tuple(_inputs(wanted, made)), outs, machine)


def _entry_in(place: Path, stage: str) -> Mapping[str, Any]:
    dvc_yaml, _ = split(stage)
    lock = (place / dvc_yaml).with_suffix(".lock")
    found = Source("", dvc_yaml, lock.read_text(encoding="utf-8")).entries
    return next(one.entry for one in found if one.stage == stage)


def _environment_in(place: Path) -> Mapping[str, Any]:
    """Return the environment that the stage recorded in the worktree's store, or else, for old code, this process's."""
    files = sorted(
        place.glob(f"mlruns/*/*/artifacts/lineage/{ENVIRONMENT}"), key=lambda one: one.stat().st_mtime
    )
    return json.loads(files[-1].read_text(encoding="utf-8")) if files else environment()


def _inputs(recorded: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[str]:
    """Yield one sentence for each input that differs between two entries of a lock file."""
    if stage_key(recorded) == stage_key(found):
        return
    if recorded["cmd"] != found["cmd"]:
        yield f"the command was {recorded['cmd']!r}, now {found['cmd']!r}"
    before, after = Locked("", recorded, "").deps, Locked("", found, "").deps
    for path in sorted(before.keys() | after.keys()):
        if before.get(path) != after.get(path):
            yield f"{path} was {before.get(path, 'no input')}, now {after.get(path, 'no input')}"
    if recorded.get("params", {}) != found.get("params", {}):
        yield "the values in params.yaml differ"
