"""Registered models: versions made by finetuning runs, and the champion that serves.

This module registers and finds versions; champions.py moves the aliases.
"""

import importlib.metadata
import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from groundup.errors import BadInput
from groundup.files import read_json, write_json
from groundup.tracking import models
from groundup.tracking.pointers import ROOT_VARIABLE, WEIGHTS, link_weights, place_in
from groundup.tracking.recorder import Dataset
from groundup.tracking.store import Connection, environment, fluent

TRAINED_ON = "trained_on.json"  # in the artifacts of a version, next to the checkpoint's folder
PACKAGE = Path(__file__).resolve().parents[1]
CHAMPION, PREVIOUS, CHALLENGER = "champion", "previous", "challenger"  # aliases; see champions.py
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
    run_id: str = field(default="", compare=False)
    created: float = field(default=0.0, compare=False)  # seconds since the epoch


def register(
    connection: Connection,
    run_id: str,
    checkpoint: Path,
    name: str,
    input_example: list[str],
    params: Mapping[str, Any],
    metrics: Mapping[str, float],
    *,
    workspace: Path | None = None,
    stored: Path | None = None,
    made: Sequence[Path] = (),
    dataset: Dataset | None = None,
    prompts: Sequence[str] = (),
    trained_on: Collection[str] = (),
    step: int = 0,
) -> str:
    """Log `checkpoint` as a pyfunc model of run `run_id` and register it; return the new version.

    The model's folder has the safetensors, the package's source and serving/model.py as entry point; nothing is
    pickled. The base model of adapters is not copied: the logged model and the version's tags record its folder,
    relative to the project's, and the tags also its fingerprint.

    Args:
        connection: the store.
        run_id: the run that logs the model.
        checkpoint: the checkpoint's folder.
        name: the registered model.
        input_example: texts that MLflow predicts once, to check that the model loads.
        params: inference parameters with their defaults; empty for a classifier.
        metrics: metrics such as "val/loss": metrics of the logged model, and tags of the version ("metric.val_loss").
        workspace: the folder in which the stage works, if it is a temporary copy of the project.
        stored: the folder to store instead of `checkpoint`: a copy with a pointer to the weights.
        made: further files that the run wrote, by which later runs find the logged model.
        dataset: the dataset of the metrics.
        prompts: URIs of registered prompts with which the model is used.
        trained_on: fingerprints of the training rows, which are stored with the version.
        step: number of training steps.

    Raises:
        MlflowException: MLflow cannot log or register the model. Errors of the model on the example are not caught.
    """
    import mlflow
    from mlflow.entities import LoggedModelOutput

    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    # adapters are registered without their base model, with a pointer to it
    base = config.get("base")
    root = (workspace or connection.root).resolve()
    pointer = None if base is None else place_in(root, checkpoint / base["folder"])
    client = connection.client
    run = client.get_run(run_id).data
    key = run.tags.get("stage_key", "")
    source = {
        tag: value for tag, value in run.tags.items() if tag.startswith(("mlflow.source", "mlflow.user"))
    }
    # outside of MLflow's active run, which would copy metrics of the processor to the model
    model = client.create_logged_model(
        connection.experiment_id,
        name,
        source_run_id=run_id,
        tags={"stage_key": key, **source, **models.content_tags([checkpoint / WEIGHTS, *made])},
        params=run.params,
        model_type=config["kind"],
    )
    with fluent(connection), environment({ROOT_VARIABLE: str(root)}), TemporaryDirectory() as folder:
        rows = Path(folder) / TRAINED_ON
        write_json(rows, sorted(trained_on))
        logged = mlflow.pyfunc.log_model(
            model_id=model.model_id,
            python_model=str(PACKAGE / "serving" / "model.py"),
            artifacts={"checkpoint": str(stored or checkpoint), "trained_on": str(rows)},
            model_config={"kind": kind_of(config), "base": [] if pointer is None else [pointer]},
            code_paths=[str(PACKAGE)],
            pip_requirements=_requirements(),
            input_example=_example(config, input_example, params),
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
        **({} if pointer is None else {"base.folder": pointer, "base.weights": base["weights"]}),
    }
    for tag, value in facts.items():
        client.set_model_version_tag(name, version, tag, value)
    return version


def _example(config: Mapping[str, Any], texts: list[str], params: Mapping[str, Any]) -> Any:
    """Return an example of a request to a model, in the form that serving/model.py expects of its kind."""
    if kind_of(config) != "decoder":
        return (texts, dict(params)) if params else texts
    names = {"max_new_tokens": "max_output_tokens", "temperature": "temperature", "top_p": "top_p"}
    return {
        "input": [{"role": "user", "content": texts[0]}],
        **{names[name]: value for name, value in params.items() if name in names},
        "custom_inputs": {name: value for name, value in params.items() if name not in names},
    }


def kind_of(config: Mapping[str, Any]) -> str:
    """Return how a checkpoint is served: `continuation` if it is a decoder without prompts, otherwise its own kind."""
    if config["kind"] == "decoder" and not (config.get("prompt_style") or config.get("chat_template")):
        return "continuation"
    return str(config["kind"])


def find(connection: Connection, name: str) -> Any:
    """Return MLflow's registered model with its tags and aliases, or None."""
    from mlflow.exceptions import MlflowException

    try:
        return connection.client.get_registered_model(name)
    except MlflowException as error:
        # a model cannot have a name such as "groundup-spam/4"
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        return None


def get(connection: Connection, name: str) -> Any:
    """Return MLflow's registered model with its tags and aliases.

    Raises:
        BadInput: there is none; the message lists those that exist.
    """
    found = find(connection, name)
    if found is None:
        names = ", ".join(sorted(model.name for model in all_models(connection))) or "(none yet)"
        raise BadInput(
            f"there is no registered model {name!r}; expected one of {names}: give one of these names"
        )
    return found


def all_models(connection: Connection) -> list[Any]:
    """Return all registered models of MLflow, with their tags and aliases."""
    return list(connection.client.search_registered_models(max_results=1000))


def aliases(registered: Any) -> dict[str, str]:
    """Return the version of each alias; MLflow's databases return numbers, its servers strings."""
    return {alias: str(version) for alias, version in registered.aliases.items()}


def versions(connection: Connection, name: str) -> list[Version]:
    """Return all versions of a registered model, the newest first."""
    found = connection.client.search_model_versions(f"name = '{name}'")
    return [_version(one) for one in sorted(found, key=lambda one: int(one.version), reverse=True)]


def champion(connection: Connection, name: str) -> Version | None:
    """Return the champion of a registered model; None if there is no such model or it has no champion."""
    registered = find(connection, name)
    number = aliases(registered).get(CHAMPION) if registered else None
    return _version(connection.client.get_model_version(name, number)) if number else None


def logged_model(connection: Connection, name: str, version: str) -> Any:
    """Return MLflow's logged model behind a version; it has the version's metrics."""
    source: str = connection.client.get_model_version(name, version).source
    return connection.client.get_logged_model(source.removeprefix("models:/"))


def made_by(connection: Connection, name: str, stage_key: str) -> Version | None:
    """Return the newest version whose run has this stage key, or None."""
    return next((one for one in versions(connection, name) if one.stage_key == stage_key), None)


def rename_work(connection: Connection, before: str, after: str) -> None:
    """Change the stage key of runs and versions from `before` to `after`, if the same work now has another key."""
    client, wanted = connection.client, f"tags.stage_key = '{before}'"
    for run in client.search_runs([connection.experiment_id], wanted):
        client.set_tag(run.info.run_id, "stage_key", after)
    for version in client.search_model_versions(wanted):
        client.set_model_version_tag(version.name, version.version, "stage_key", after)


def fetch_checkpoint(connection: Connection, version: Version, folder: Path) -> Path:
    """Copy the version's checkpoint into `folder` and return the checkpoint's path.

    The config of adapters then has the path from the copy to their base model. Large weights are linked.

    Raises:
        BadInput: the version has a pointer to weights that are not on this machine.
    """
    import mlflow

    source = connection.client.get_model_version_download_uri(version.name, version.version)
    mlflow.set_tracking_uri(connection.uri)
    local = mlflow.artifacts.download_artifacts(artifact_uri=f"{source}/artifacts", dst_path=str(folder))
    checkpoint = next(path for path in Path(local).iterdir() if path.is_dir())
    base = connection.client.get_model_version(version.name, version.version).tags.get("base.folder")
    if base:
        config = read_json(checkpoint / "config.json")
        # if `base` is absolute, as in older versions, it replaces the root
        config["base"]["folder"] = os.path.relpath(connection.root.resolve() / base, checkpoint.resolve())
        write_json(checkpoint / "config.json", config)
    link_weights(checkpoint, connection.root)
    return checkpoint


def trained_on(checkpoint: Path) -> set[str]:
    """Return the fingerprints of the rows on which a fetched checkpoint was trained; empty for older versions."""
    path = checkpoint.parent / TRAINED_ON
    return set(read_json(path)) if path.exists() else set()


def _version(found: Any) -> Version:
    tags = found.tags
    metrics = {k.removeprefix("metric."): float(v) for k, v in tags.items() if k.startswith("metric.")}
    key, created = tags.get("stage_key", ""), found.creation_timestamp / 1000
    return Version(found.name, str(found.version), key, metrics, found.run_id or "", created)


def _requirements() -> list[str]:
    """Pin the installed versions, without a build suffix (such as torch's "+cpu")."""
    return [f"{name}=={importlib.metadata.version(name).partition('+')[0]}" for name in REQUIREMENTS]


def register_prompt(connection: Connection, name: str, template: str) -> str:
    """Return the URI of a prompt's newest version in MLflow's prompt registry.

    `template`, with variables in double braces, is registered first if it differs from that version.
    """
    client = connection.client
    with fluent(connection):
        newest = client.load_prompt(f"prompts:/{name}@latest", allow_missing=True, cache_ttl_seconds=0)
        if newest is None or newest.template != template:
            newest = client.register_prompt(name, template)
    return str(newest.uri)
