"""The lineage of one model: `trace(root, connection, "groundup-spam")`.

What cannot be found is not guessed but listed in `unknown`.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from groundup.errors import BadInput
from groundup.lineage.chain import Step, chain, measurements
from groundup.lineage.locks import Locked, Locks
from groundup.lineage.runs import (
    WEIGHTS,
    Registered,
    RunFacts,
    Weights,
    pointer,
    registered,
    run_of,
    run_with,
    version_of,
    weights,
    weights_in,
)
from groundup.lineage.sources import RawData, raw_data
from groundup.tracking import explained
from groundup.tracking.ledger import LEDGER, Entry, Ledger
from groundup.tracking.store import Connection


@dataclass(frozen=True)
class Trace:
    """The lineage of a model.

    Attributes:
        model: the model as the user named it.
        registered: the registered version, or None for a checkpoint that has none.
        weights: hashes and size of the weights, or None if they are neither registered nor recorded.
        key: the key of the stage that made the model.
        steps: the stages behind the model, each after those that made its data; then the stage that made the model;
            then those that evaluated it.
        runs: the run of each stage, by stage key; stages without a run are missing.
        raw: the datasets that the download stages wrote, by stage.
        decisions: the entries of the ledger that name the version: as candidate, or as champion before or after.
        unknown: sentences on what could not be found.
    """

    model: str
    registered: Registered | None
    weights: Weights | None
    key: str
    steps: tuple[Step, ...]
    runs: Mapping[str, RunFacts]
    raw: Mapping[str, tuple[RawData, ...]]
    decisions: tuple[Mapping[str, Any], ...]
    unknown: tuple[str, ...]

    @property
    def title(self) -> str:
        """Name and version of the registered version; without one, the model as the user named it."""
        return self.registered.title if self.registered else self.model

    @property
    def step(self) -> Step:
        """The step that made the model."""
        return next(step for step in self.steps if step.key == self.key)

    @property
    def chain(self) -> tuple[Step, ...]:
        """The steps without those that evaluated the model."""
        return self.steps[: self.steps.index(self.step) + 1]

    @property
    def run(self) -> RunFacts | None:
        """The run that made the model."""
        return self.runs.get(self.key)

    def as_json(self) -> dict[str, Any]:
        """Return the lineage as values of JSON, from which `reports.lineage` draws the page."""
        runs = {key: _plain_run(run) for key, run in self.runs.items()}
        found = self.registered
        return {
            "model": self.model,
            "title": self.title,
            "registered": _without(asdict(found), "folder") if found else None,
            "weights": asdict(self.weights) if self.weights else None,
            "stage": self.step.stage,
            "steps": [
                {**_without(asdict(step), "entry"), "after": list(step.after), "run": runs.get(step.key)}
                for step in self.steps
            ],
            "raw": {stage: [asdict(one) for one in found] for stage, found in self.raw.items()},
            "decisions": [dict(one) for one in self.decisions],
            "unknown": list(self.unknown),
        }


def trace(root: Path, connection: Connection, model: str) -> Trace:
    """Return the lineage of a model.

    Args:
        root: the project's folder.
        connection: the MLflow store with the project's runs.
        model: the name of a registered model, alone (its champion), with `@alias` or `/version`; or a checkpoint
            folder.

    Raises:
        BadInput: there is no such model, or no record of the stage that made it.
    """
    with explained(connection.uri):
        if (root / model).is_dir() or Path(model).is_dir():
            return _of_folder(root, connection, model)
        return _of_version(root, connection, model)


def _of_version(root: Path, connection: Connection, model: str) -> Trace:
    found = registered(connection, model)
    key, run_id = found.tags.get("stage_key", ""), found.tags.get("run_id", "")
    run = run_with(connection, run_id) if run_id else None
    unknown = []
    if run is None and key:
        run = run_of(connection, key)
    if run is None:
        unknown.append(f"no run of this store made {found.title}; its tags name run {run_id or 'none'}")
    locks = Locks(root, run.revision if run else "")
    target = _recorded(locks, key, run)
    if target is None:
        raise BadInput(
            f"{found.title} was made by {run.stage if run else 'an unknown stage'} with stage key {key or 'none'}, of "
            "which neither dvc.lock, nor DVC's run cache, nor a commit has a record; trace it in the project that "
            "made it"
        )
    return _assemble(locks, connection, model, found, target, run, unknown)


def _of_folder(root: Path, connection: Connection, model: str) -> Trace:
    folder = root / model if (root / model).is_dir() else Path(model)
    path = folder.resolve()
    relative = path.relative_to(root.resolve()).as_posix() if path.is_relative_to(root.resolve()) else ""
    made = Locks(root).stage_of(relative) if relative else None
    if made is None:
        raise BadInput(
            f"no stage in a dvc.lock of {root} writes {model}; expected the folder of a model that a pipeline trained, "
            "such as data/models/spam, or a registered model, such as groundup-spam"
        )
    run = run_of(connection, made.key)
    unknown = (
        [] if run else [f"no run of this store made {relative}: DVC restored it, or its run was deleted"]
    )
    locks = Locks(root, run.revision if run else "")
    if (path / WEIGHTS).is_file() and run and (recorded := pointer(connection, run)):
        found = weights_in(path / WEIGHTS, model)
        if found.md5 != recorded.md5:
            unknown.append(
                f"{model}/{WEIGHTS} has changed since {made.stage} wrote it: its MD5 is {found.md5}, that run wrote "
                f"{recorded.md5}"
            )
    version = version_of(connection, made.key)
    target = locks.find(made.key, *made.deps.values()) or made
    return _assemble(locks, connection, model, version, target, run, unknown, path / WEIGHTS)


def _recorded(locks: Locks, key: str, run: RunFacts | None) -> Locked | None:
    """Return the record of the stage with this key, or else the inputs that its run recorded; None without both."""
    hashes = [value for tag, value in run.tags.items() if tag.startswith("data.")] if run else []
    if key and (found := locks.find(key, *hashes)):
        return locks.named(found)
    if run and run.entry:
        return Locked(run.entry["stage"], run.entry, f"run {run.id}")
    return None


def _assemble(
    locks: Locks,
    connection: Connection,
    model: str,
    version: Registered | None,
    target: Locked,
    run: RunFacts | None,
    unknown: list[str],
    file: Path | None = None,
) -> Trace:
    steps = chain(locks, target)
    after = measurements(locks, target, steps)
    runs = _runs(connection, steps, run) | {
        step.key: found for step in after if (found := run_of(connection, step.key))
    }
    raw = {step.stage: raw_data(locks, step, runs.get(step.key)) for step in steps}
    found_weights = weights(connection, version, run)
    if file and file.is_file() and (found_weights is None or not found_weights.sha256):
        here = weights_in(file, model)
        found_weights = here if found_weights is None or here.md5 == found_weights.md5 else found_weights
    decisions, damage = _decisions(locks.root, version)
    unknown += _gaps([*steps, *after], runs, raw)
    unknown += _of_weights(connection, version, found_weights, run)
    unknown += _of_decisions(version, decisions, damage)
    return Trace(
        model,
        version,
        found_weights,
        target.key,
        (*steps, *after),
        runs,
        {stage: found for stage, found in raw.items() if found},
        tuple(decisions),
        tuple(dict.fromkeys(unknown)),
    )


def _runs(connection: Connection, steps: list[Step], last: RunFacts | None) -> dict[str, RunFacts]:
    """Return the runs of a chain by stage key.

    `last` is the run of the last stage. For each earlier stage, the newest run is chosen that started before the runs
    that read its outputs.
    """
    runs = {steps[-1].key: last} if last else {}
    for step in reversed(steps[:-1]):
        read_at = (runs[one.key].started for one in steps if step.stage in one.after and one.key in runs)
        if found := run_of(connection, step.key, min(read_at, default="")):
            runs[step.key] = found
    return runs


def _gaps(
    steps: list[Step], runs: Mapping[str, RunFacts], raw: Mapping[str, tuple[RawData, ...]]
) -> list[str]:
    """Return one sentence for each fact that the records of the stages, their runs or the catalogue lack."""
    gaps = [sentence for step in steps for sentence in step.unknown]
    for step in steps:
        if step.key not in runs:
            gaps.append(
                f"no finished run of this store has the stage key of {step.stage}: DVC restored its outputs, or its "
                "run was deleted"
            )
    bare = [step.stage for step in steps if step.key in runs and runs[step.key].environment is None]
    if bare:
        who = "any run of the chain" if len(bare) == len(runs) else f"the run of {', '.join(bare)}"
        gaps.append(f"hardware and package versions were not recorded by {who}")
    if not any(raw.values()):
        gaps.append("no download stage is in the chain, so its raw data are unknown")
    return gaps + [f"{one.name}: {one.remark}" for found in raw.values() for one in found if one.remark]


def _of_weights(
    connection: Connection, version: Registered | None, found: Weights | None, run: RunFacts | None
) -> list[str]:
    """Return one sentence if there are no weights, or if they are not those that the run wrote; otherwise none."""
    if found is None:
        return ["the weights are neither in the registry nor recorded by the run, so they have no hash"]
    written = pointer(connection, run) if run else None
    if version and written and written.md5 != found.md5:
        return [f"{version.title} has weights with MD5 {found.md5}, but its run wrote {written.md5}"]
    return []


def _of_decisions(version: Registered | None, decisions: list[Mapping[str, Any]], damage: str) -> list[str]:
    if version is None:
        return ["no registered version has this stage key, so it was never compared or promoted"]
    if damage:
        return [damage]
    if decisions:
        return []
    first = "; a first version becomes champion without a comparison" if version.version == "1" else ""
    return [f"no entry of {LEDGER} is on {version.title}{first}"]


def _decisions(root: Path, version: Registered | None) -> tuple[list[Mapping[str, Any]], str]:
    """Return the ledger's entries on a version, oldest first, and, if the ledger is damaged, a sentence on that."""
    try:
        entries = Ledger(root / LEDGER).entries() if version else []
    except BadInput as error:
        return [], str(error)
    return [asdict(entry) for entry in entries if version and _is_about(entry, version)], ""


def _is_about(entry: Entry, version: Registered) -> bool:
    """Return whether an entry is on this version in this store; clones, each with its own store, share one ledger."""
    versions = {entry.before, entry.after, entry.candidate}
    return (entry.model, entry.registry) == (version.name, version.registry) and version.version in versions


def _plain_run(run: RunFacts) -> dict[str, Any]:
    shown = _without(asdict(run), "records", "tags")
    return {
        **shown,
        "environment": run.environment,
        "uncommitted": bool(run.records.get("uncommitted.patch")),
    }


def _without(facts: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if name not in names}
