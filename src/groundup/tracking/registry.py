"""Registered models: versions made by finetuning runs, and the champion that serves.

The decision to promote a version is made in promotion.py; this module only moves the alias.
"""

import importlib.metadata
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundup.files import read_json, write_json
from groundup.tracking import models
from groundup.tracking.datasets import Dataset
from groundup.tracking.pointers import WEIGHTS, link_weights
from groundup.tracking.store import Connection, fluent

PACKAGE = Path(__file__).resolve().parents[1]
CHAMPION = "champion"
# names of the main pipeline's registered models; they are in users' stores, so do not change them
SPAM_MODEL, INSTRUCTIONS_MODEL, PRETRAINED_MODEL = "groundup-spam", "groundup-chat", "groundup-pretrained"
REQUIREMENTS = (
    "mlflow",
    "filelock",
    "psutil",
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
    stored: Path | None = None,
    made: Sequence[Path] = (),
    dataset: Dataset | None = None,
    prompts: Sequence[str] = (),
    step: int = 0,
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
        metrics: metrics such as "val/loss": metrics of the logged model, and tags of the version ("metric.val_loss").
        lasting: maps a path in a temporary workspace to the same path in the project.
        stored: the folder to store instead of `checkpoint`: the same with a pointer to its weights.
        made: further files that the run wrote, by which later runs find the logged model.
        dataset: the dataset of the metrics.
        prompts: URIs of registered prompts with which the model is used.
        step: number of training steps.

    Raises:
        MlflowException: MLflow cannot log or register the model. Errors of the model on the example are not caught.
    """
    import mlflow
    from mlflow.entities import LoggedModelOutput

    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    # adapters are registered without their base model, with a pointer to it
    base = config.get("base")
    place = None if base is None else (checkpoint / base["folder"]).resolve()
    pointer = "" if place is None else str(lasting(place))
    # the first existing folder is used: one in a temporary workspace is soon deleted
    places = [] if place is None else list(dict.fromkeys([str(place), pointer]))
    client = connection.client
    run = client.get_run(run_id).data
    key = run.tags.get("stage_key", "")
    # outside of MLflow's active run, which would copy metrics of the processor to the model
    source = {
        tag: value for tag, value in run.tags.items() if tag.startswith(("mlflow.source", "mlflow.user"))
    }
    model = client.create_logged_model(
        connection.experiment_id,
        name,
        source_run_id=run_id,
        tags={"stage_key": key, **source, **models.content_tags([checkpoint / WEIGHTS, *made])},
        params=run.params,
        model_type=config["kind"],
    )
    with fluent(connection):
        logged = mlflow.pyfunc.log_model(
            model_id=model.model_id,
            python_model=str(PACKAGE / "serving" / "model.py"),
            artifacts={"checkpoint": str(stored or checkpoint)},
            model_config={"kind": kind_of(config), "base": places},
            code_paths=[str(PACKAGE)],
            pip_requirements=_requirements(),
            input_example=(input_example, dict(params)) if params else input_example,
            registered_model_name=name,
            prompts=list(prompts) or None,
        )
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step)])
    for prompt in prompts:
        client.link_prompt_version_to_run(run_id, prompt)
    models.score(connection, run_id, model, metrics, dataset)
    models.take_over_figures(connection, run_id, client.get_logged_model(model.model_id))
    version = str(logged.registered_model_version)
    facts = {
        "stage_key": key,
        "run_id": run_id,
        **{f"metric.{k.replace('/', '_')}": repr(float(v)) for k, v in metrics.items()},
        **({} if base is None else {"base.folder": pointer, "base.weights": base["weights"]}),
    }
    for tag, value in facts.items():
        client.set_model_version_tag(name, version, tag, value)
    return version


def kind_of(config: Mapping[str, Any]) -> str:
    """Return what a checkpoint serves as: a classifier, an instruction model or a decoder that continues texts."""
    if config["kind"] == "decoder" and not (config.get("prompt_style") or config.get("chat_template")):
        return "continuation"
    return str(config["kind"])


def champion(connection: Connection, name: str) -> Version | None:
    """Return the version that serves, or None."""
    return _find(connection, name, lambda found: CHAMPION in found.aliases)


def logged_model(connection: Connection, name: str, version: str) -> Any:
    """Return the logged model of a version, which has its metrics."""
    source: str = connection.client.get_model_version(name, version).source
    return connection.client.get_logged_model(source.removeprefix("models:/"))


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
    link_weights(checkpoint)
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
