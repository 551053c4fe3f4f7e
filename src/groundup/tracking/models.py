"""Logged models: what MLflow's Models page shows, sorts and compares.

A logged model belongs to the run that made it. Later runs, such as an evaluation, find it by the MD5 of a file that
this run wrote, and add their metrics to it. The section `tracking` of params.yaml says what MLflow keeps of models and
their answers; its values change nothing that a stage writes.
"""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge

from groundup.settings import STRICT
from groundup.tracking.pointers import md5_of
from groundup.tracking.recorder import Dataset
from groundup.tracking.store import Connection
from groundup.tracking.unsent import BATCH_METRICS

Interval = Mapping[str, float]  # mean, low, high


@dataclass(frozen=True)
class TrackingConfig:
    """How much is copied into MLflow. No stage depends on this section, so a change of it reruns nothing."""

    __pydantic_config__ = STRICT

    copied_megabytes: Annotated[float, Ge(0)]
    """Weights up to this size, in millions of bytes, are copied into the logged model; larger ones are registered as
    a pointer to DVC's copy.
    """
    evaluated_per_family: Annotated[int, Ge(0)]
    """Number of test instructions per family that MLflow shows one by one (0: none); each takes about 0.06 s and
    10 kB.
    """


def content_tags(files: Iterable[Path]) -> dict[str, str]:
    """Return the tags by which `maker_of` finds a logged model: one per file, named after it, with its MD5."""
    return {f"md5.{file.name}": md5_of(file) for file in files}


def maker_of(connection: Connection, file: Path) -> Any | None:
    """Return the newest logged model whose run wrote a file with the name and the content of `file`, or None."""
    return next(iter(_made(connection, file.name, md5_of(file))), None)


def score(
    connection: Connection,
    run_id: str,
    model: Any,
    figures: Mapping[str, float | Interval],
    dataset: Dataset | None,
) -> None:
    """Log metrics of a run and, unless `model` is None, of a logged model.

    An interval is logged as three metrics: its mean as `<name>`, its ends as `<name>/low` and `<name>/high`.
    """
    from mlflow.entities import Metric

    now, flat = int(time.time() * 1000), dict[str, float]()
    for name, figure in figures.items():
        if isinstance(figure, Mapping):
            flat |= {name: figure["mean"], f"{name}/low": figure["low"], f"{name}/high": figure["high"]}
        else:
            flat[name] = figure
    read = {} if dataset is None else {"dataset_name": dataset.name, "dataset_digest": dataset.digest}
    model_id = None if model is None else model.model_id
    metrics = [Metric(name, float(value), now, 0, model_id=model_id, **read) for name, value in flat.items()]
    connection.client.log_batch(run_id, metrics=metrics)


def describe(connection: Connection, model: Any, card: str | None, tags: Mapping[str, str]) -> None:
    """Make `card` (Markdown) the description of a logged model and of its versions, and set tags of both.

    The first line of the card becomes the description of the registered model. If `card` is None, the descriptions
    stay as they are.
    """
    client = connection.client
    client.set_logged_model_tags(model.model_id, {**tags, **({"mlflow.note.content": card} if card else {})})
    for version in json.loads(model.tags.get("mlflow.modelVersions", "[]")):
        name, number = version["name"], str(version["version"])
        if card:
            client.update_model_version(name, number, description=card)
            client.update_registered_model(name, description=card.partition("\n")[0])
        for tag, value in tags.items():
            client.set_model_version_tag(name, number, tag, value)


def take_over_figures(connection: Connection, run_id: str, model: Any) -> None:
    """Copy to a logged model the metrics and the card that later runs gave an earlier one with the same weights.

    A rerun that makes the same bytes logs a new model, which no evaluation measures again.

    Args:
        connection: the store.
        run_id: the run that logged `model`.
        model: the new logged model.
    """
    from mlflow.entities import Metric

    key, md5 = next(((k, v) for k, v in model.tags.items() if k.endswith(".safetensors")), ("", ""))
    same = _made(connection, key.removeprefix("md5."), md5) if key else []
    for earlier in (other for other in same if other.model_id != model.model_id):
        others = [metric for metric in earlier.metrics or [] if metric.run_id != earlier.source_run_id]
        if not others:
            continue
        metrics = [
            Metric(
                m.key, m.value, m.timestamp, m.step,
                model_id=model.model_id, dataset_name=m.dataset_name, dataset_digest=m.dataset_digest,
            )
            for m in others
        ]  # fmt: skip
        connection.client.log_batch(run_id, metrics=metrics[:BATCH_METRICS])
        if card := earlier.tags.get("mlflow.note.content"):
            tags = {key: value for key, value in earlier.tags.items() if key.startswith("test.")}
            describe(connection, connection.client.get_logged_model(model.model_id), card, tags)
        return


def _made(connection: Connection, name: str, md5: str) -> Sequence[Any]:
    """Return the complete logged models with this tag of `content_tags`, the newest first."""
    found: Sequence[Any] = connection.client.search_logged_models(
        [connection.experiment_id], f"tags.`md5.{name}` = '{md5}'"
    )
    return [model for model in found if str(model.status) == "READY"]
