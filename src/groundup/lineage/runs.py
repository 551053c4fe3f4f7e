"""Reads what MLflow recorded about the runs of stages and about registered models; changes nothing in the store."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from groundup.errors import BadInput
from groundup.lineage.records import read
from groundup.tracking import registry
from groundup.tracking.store import Connection

WEIGHTS = "model.safetensors"
POINTER = "pointers/checkpoint.json"  # artifact of trainings: path, MD5 and size of the weights
SYSTEM = "system/"  # MLflow's metrics of the machine


@dataclass(frozen=True)
class RunFacts:
    """A run of a stage.

    Attributes:
        id, experiment: MLflow's ids.
        stage: the stage's name in its dvc.yaml.
        status: FINISHED, FAILED, KILLED or RUNNING.
        started, ended: UTC, in ISO format; "" if unknown.
        host: the machine's name, or "".
        revision: the git revision, with `-dirty` if there were uncommitted changes; "" outside of git.
        pipeline: the id of the parent run, or "".
        tags: all tags.
        metrics: the last value of each metric, except MLflow's metrics of the machine.
        records: the artifacts of `records.py`, by file name.
    """

    id: str
    experiment: str
    stage: str
    status: str
    started: str
    ended: str
    host: str
    revision: str
    pipeline: str
    tags: Mapping[str, str] = field(repr=False)
    metrics: Mapping[str, float] = field(repr=False)
    records: Mapping[str, str] = field(repr=False)

    @property
    def environment(self) -> dict[str, Any] | None:
        """Machine and software of the run (see tracking/environment.py), or None if they were not recorded."""
        text = self.records.get("environment.json")
        return json.loads(text) if text else None

    @property
    def entry(self) -> dict[str, Any] | None:
        """The stage's name and its entry in dvc.lock without its outputs, or None if they were not recorded."""
        text = self.records.get("lock.json")
        return json.loads(text) if text else None


@dataclass(frozen=True)
class Weights:
    """A model's weights: MD5 and SHA-256 in hex (SHA-256 "" if unknown), size in bytes, and where these were read."""

    md5: str
    sha256: str
    bytes: int
    source: str


@dataclass(frozen=True)
class Registered:
    """A version of a registered model.

    Attributes:
        name, version: as in the registry.
        registry: when the registered model was created, in ms; it differs between two stores.
        aliases: the version's aliases.
        created: when the version was registered: UTC, in ISO format.
        tags: the version's tags.
        requirements: the pinned packages that serving needs.
        folder: the version's artifacts, or None if they are not on this machine.
    """

    name: str
    version: str
    registry: str
    aliases: tuple[str, ...]
    created: str
    tags: Mapping[str, str]
    requirements: tuple[str, ...]
    folder: Path | None

    @property
    def title(self) -> str:
        """Name and version, such as `groundup-spam version 3`."""
        return f"{self.name} version {self.version}"


def registered(connection: Connection, reference: str) -> Registered:
    """Return the registered version to which `name` (its champion), `name@alias` or `name/version` refers.

    Raises:
        BadInput: there is no such model, alias or version; the message lists those that exist.
    """
    client = connection.client
    name, at, alias = reference.removeprefix("models:/").partition("@")
    name, slash, number = name.partition("/")
    known = sorted(model.name for model in registry.all_models(connection))
    if name not in known:
        raise BadInput(
            f"{reference} is neither a checkpoint folder nor a registered model; expected one of "
            f"{', '.join(known) or 'the models that make repro registers'} (with @alias or /version), or a folder such "
            "as data/models/spam"
        )
    aliases = {name: str(number) for name, number in client.get_registered_model(name).aliases.items()}
    if not slash:
        alias = alias if at else registry.CHAMPION
        if alias not in aliases:
            raise BadInput(
                f"{name} has no alias {alias}; expected one of {', '.join(sorted(aliases)) or 'none yet'}, or a "
                f"version, such as {name}/1"
            )
        number = aliases[alias]
    versions = {str(found.version) for found in client.search_model_versions(f"name = '{name}'")}
    if number not in versions:
        existing = ", ".join(sorted(versions, key=int)) or "none yet"
        raise BadInput(f"{name} has no version {number}; its versions are {existing}")
    return _version(connection, name, number)


def version_of(connection: Connection, key: str) -> Registered | None:
    """Return the newest registered version that the stage with this key made, or None."""
    found = connection.client.search_model_versions(f"tags.stage_key = '{key}'")
    newest = max(found, key=lambda one: one.creation_timestamp, default=None)
    return _version(connection, newest.name, str(newest.version)) if newest else None


def _version(connection: Connection, name: str, number: str) -> Registered:
    client = connection.client
    found = client.get_model_version(name, number)
    place = urlsplit(client.get_model_version_download_uri(name, number))
    folder = Path(unquote(place.path)) if place.scheme in ("", "file") else None
    pinned = folder / "requirements.txt" if folder else None
    return Registered(
        name,
        number,
        str(client.get_registered_model(name).creation_timestamp),
        tuple(sorted(found.aliases)),
        _time(found.creation_timestamp),
        {str(key): str(value) for key, value in found.tags.items()},
        tuple(pinned.read_text(encoding="utf-8").split()) if pinned and pinned.is_file() else (),
        folder,
    )


def run_with(connection: Connection, run_id: str) -> RunFacts | None:
    """Return a run by its id, or None if the store does not have it."""
    found = connection.client.search_runs([connection.experiment_id], f"attributes.run_id = '{run_id}'")
    return _facts(connection, found[0]) if found else None


def run_of(connection: Connection, key: str, before: str = "") -> RunFacts | None:
    """Return the finished run of the stage with this key, or None.

    Args:
        connection: the store.
        key: the stage key.
        before: the start of the run that read the stage's outputs. Of several runs, the newest that did not start
            later is returned; if there is none, the newest of all. "": the newest of all.
    """
    client, experiment = connection.client, [connection.experiment_id]
    wanted = f"tags.kind = 'stage' and tags.stage_key = '{key}' and attributes.status = 'FINISHED'"
    found = client.search_runs(experiment, wanted, order_by=["attributes.start_time DESC"])
    earlier = [one for one in found if not before or _time(one.info.start_time) <= before]
    if one := next(iter(earlier or found), None):
        return _facts(connection, one)
    # a stage that DVC restored has only a marker, which names the run that did the work
    wanted = f"tags.kind = 'cached' and tags.stage_key = '{key}' and tags.produced_by != ''"
    markers = client.search_runs(experiment, wanted, max_results=1)
    return run_with(connection, markers[0].data.tags["produced_by"]) if markers else None


def _facts(connection: Connection, found: Any) -> RunFacts:
    info, data = found.info, found.data
    return RunFacts(
        info.run_id,
        str(info.experiment_id),
        data.tags.get("stage", info.run_name),
        info.status,
        _time(info.start_time),
        _time(info.end_time),
        data.tags.get("host", ""),
        data.tags.get("git.revision", ""),
        data.tags.get("mlflow.parentRunId", ""),
        dict(data.tags),
        {name: value for name, value in sorted(data.metrics.items()) if not name.startswith(SYSTEM)},
        read(connection, info.run_id),
    )


def _time(milliseconds: int | None) -> str:
    if not milliseconds:
        return ""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds")


def weights(connection: Connection, model: Registered | None, run: RunFacts | None) -> Weights | None:
    """Return hashes and size of a version's weights, or else those that the run recorded; None if neither has them."""
    if model and model.folder:
        files = sorted(model.folder.glob(f"artifacts/*/{WEIGHTS}"))
        if files:
            return weights_in(files[0], model.title)
    return pointer(connection, run) if run else None


def weights_in(file: Path, source: str) -> Weights:
    """Return hashes and size of a file of weights; `source` names the place in the result."""
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    with file.open("rb") as opened:
        while block := opened.read(1 << 20):
            md5.update(block)
            sha256.update(block)
    return Weights(md5.hexdigest(), sha256.hexdigest(), file.stat().st_size, source)


def pointer(connection: Connection, run: RunFacts) -> Weights | None:
    """Return the weights that a training recorded when it wrote them, or None."""
    folder, _, name = POINTER.partition("/")
    files = json.loads(read(connection, run.id, folder).get(name, "[]"))
    found = next((file for file in files if Path(file["path"]).name == WEIGHTS), None)
    return Weights(found["md5"], "", found["bytes"], f"the pointer of run {run.id}") if found else None
