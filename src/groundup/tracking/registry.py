"""Registered models: versions made by finetuning runs, and the champion that serves.

The decision to promote a version is made in promotion.py; this module only moves the alias.
"""

import importlib.metadata
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundup.files import read_json, write_json
from groundup.tracking.store import Connection

PACKAGE = Path(__file__).resolve().parents[1]
CHAMPION = "champion"
# names of the main pipeline's registered models; they are in users' stores, so do not change them
SPAM_MODEL, INSTRUCTIONS_MODEL = "groundup-spam", "groundup-chat"
REQUIREMENTS = (
    "mlflow",
    "torch",
    "safetensors",
    "tiktoken",
    "regex",
    "numpy",
    "pydantic",
    "pyyaml",
    "jinja2",
)


@dataclass(frozen=True)
class Version:
    """One version of a registered model."""

    name: str
    version: str
    stage_key: str  # of the run that made it
    metrics: Mapping[str, float]


def register(
    connection: Connection,
    run_id: str,
    checkpoint: Path,
    name: str,
    input_example: list[str],
    params: Mapping[str, Any],
    metrics: Mapping[str, float],
    *,
    lasting: Callable[[Path], Path] = Path,
) -> str:
    """Log `checkpoint` as a pyfunc model of run `run_id` and register it; return the new version.

    The base model of adapters is not copied: the logged model and the version's tags record its path and fingerprint.
    The model folder has the safetensors, the package's source and serving/model.py as entry point; nothing is pickled.

    Args:
        connection: the store.
        run_id: the run that logs the model.
        checkpoint: the checkpoint's folder.
        name: the registered model.
        input_example: texts that are predicted once.
        params: inference parameters with their defaults; empty for a classifier.
        metrics: metrics, recorded as tags of the version.
        lasting: maps a path in a temporary workspace to the same path in the project.

    Raises:
        MlflowException: MLflow cannot log or register the model. Errors of the model on the example are not caught.
    """
    import mlflow

    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    # adapters are registered without their base model, with a pointer to it
    base = config.get("base")
    place = None if base is None else (checkpoint / base["folder"]).resolve()
    pointer = "" if place is None else str(lasting(place))
    # the first existing folder is used: one in a temporary workspace is soon deleted
    places = [] if place is None else list(dict.fromkeys([str(place), pointer]))
    client = connection.client
    mlflow.set_tracking_uri(connection.uri)
    mlflow.set_registry_uri(connection.uri)
    with mlflow.start_run(run_id=run_id, log_system_metrics=False):
        logged = mlflow.pyfunc.log_model(
            name=name,
            python_model=str(PACKAGE / "serving" / "model.py"),
            artifacts={"checkpoint": str(checkpoint)},
            model_config={"kind": config["kind"], "base": places},
            code_paths=[str(PACKAGE)],
            pip_requirements=_requirements(),
            input_example=(input_example, dict(params)) if params else input_example,
            registered_model_name=name,
        )
    client.update_run(run_id, status="RUNNING")  # leaving start_run has ended it
    version = str(logged.registered_model_version)
    key = client.get_run(run_id).data.tags.get("stage_key", "")
    facts = {
        "stage_key": key,
        "run_id": run_id,
        **{f"metric.{k}": repr(float(v)) for k, v in metrics.items()},
        **({} if base is None else {"base.folder": pointer, "base.weights": base["weights"]}),
    }
    for tag, value in facts.items():
        client.set_model_version_tag(name, version, tag, value)
    return version


def champion(connection: Connection, name: str) -> Version | None:
    """Return the version that serves, or None."""
    return _find(connection, name, lambda found: CHAMPION in found.aliases)


def made_by(connection: Connection, name: str, stage_key: str) -> Version | None:
    """Return the newest version whose run has this stage key, or None."""
    return _find(connection, name, lambda found: found.tags.get("stage_key") == stage_key)


def rename_work(connection: Connection, before: str, after: str) -> None:
    """Change the stage key of runs and versions from `before` to `after`, when the key of the same work has changed."""
    client, wanted = connection.client, f"tags.stage_key = '{before}'"
    for run in client.search_runs([connection.experiment_id], wanted):
        client.set_tag(run.info.run_id, "stage_key", after)
    for version in client.search_model_versions(wanted):
        client.set_model_version_tag(version.name, version.version, "stage_key", after)


def promote(connection: Connection, name: str, version: str) -> None:
    """Make `version` the champion, which serves."""
    connection.client.set_registered_model_alias(name, CHAMPION, version)


def fetch_checkpoint(connection: Connection, version: Version, folder: Path) -> Path:
    """Copy the version's checkpoint into `folder` and return its path; adapters then point to their base from there."""
    import mlflow

    source = connection.client.get_model_version_download_uri(version.name, version.version)
    mlflow.set_tracking_uri(connection.uri)
    local = mlflow.artifacts.download_artifacts(artifact_uri=f"{source}/artifacts", dst_path=str(folder))
    checkpoint = next(path for path in Path(local).iterdir() if path.is_dir())
    base = connection.client.get_model_version(version.name, version.version).tags.get("base.folder")
    if base:
        config = read_json(checkpoint / "config.json")
        config["base"]["folder"] = os.path.relpath(base, checkpoint.resolve())
        write_json(checkpoint / "config.json", config)
    return checkpoint


def _find(connection: Connection, name: str, wanted: Any) -> Version | None:
    versions = connection.client.search_model_versions(f"name = '{name}'")
    for listed in sorted(versions, key=lambda listed: int(listed.version), reverse=True):
        found = connection.client.get_model_version(name, listed.version)  # a search returns no aliases
        if wanted(found):
            tags = found.tags
            metrics = {
                k.removeprefix("metric."): float(v) for k, v in tags.items() if k.startswith("metric.")
            }
            return Version(name, str(found.version), tags.get("stage_key", ""), metrics)
    return None


def _requirements() -> list[str]:
    """Pin the installed versions, without a build suffix (such as torch's "+cpu")."""
    return [f"{name}=={importlib.metadata.version(name).partition('+')[0]}" for name in REQUIREMENTS]
