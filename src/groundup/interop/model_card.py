"""The model card (README.md) of an exported model: what it is, its training data, its metrics, how to load it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from groundup.checkpoint import TITLES, Checkpoint
from groundup.errors import BadInput
from groundup.interop.hub import package
from groundup.interop.own_config import CLASSES, MODELING

PIPELINES = {"decoder": "text-generation", "encoder": "fill-mask", "classifier": "text-classification"}


@dataclass(frozen=True)
class CardFacts:
    """Facts for the model card that a checkpoint does not record.

    Attributes:
        licence: as the Hugging Face Hub names it, such as apache-2.0.
        base: the model that it was finetuned from, such as HuggingFaceTB/SmolLM2-135M-Instruct.
        revision: the git revision of the code.
        metrics: name -> value; may be nested. A mapping with mean, low and high is a value with its interval.
        source: where the metrics come from, such as "spam.json, sha256 c55695a...".
    """

    licence: str | None = None
    base: str | None = None
    revision: str | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    source: str | None = None


def model_card(name: str, checkpoint: Checkpoint, class_name: str, weights: str, facts: CardFacts) -> str:
    """Return the model card of an exported model: the text of README.md.

    Args:
        name: the model's name.
        checkpoint: the model.
        class_name: transformers' class, such as LlamaForCausalLM.
        weights: fingerprint of model.safetensors.
        facts: facts that the checkpoint does not record.

    Raises:
        BadInput: a metric is neither a number nor a text nor a mapping of them, or huggingface_hub is not installed.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("groundup", "."),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["json"] = partial(json.dumps, ensure_ascii=False)
    config = checkpoint.config
    trunk = checkpoint.model.trunk if config.kind == "classifier" else checkpoint.model
    return environment.get_template("interop/model_card.md.j2").render(
        name=name,
        facts=facts,
        metadata=_metadata(name, checkpoint, facts),
        metrics=list(_rows(facts.metrics)),
        config=config,
        title=TITLES[config.kind],
        class_name=class_name,
        auto_class=f"AutoModelFor{class_name.partition('For')[2]}",
        own=class_name in CLASSES.values(),
        modeling=MODELING.name,
        parameters=sum(p.numel() for name, p in checkpoint.model.named_parameters() if ".lora_" not in name),
        hidden=trunk.config.hidden,
        weights=weights,
    )


def _metadata(name: str, checkpoint: Checkpoint, facts: CardFacts) -> str:
    """Return the card's metadata in YAML, with the results in the form that the Hub shows."""
    hub, task = package(), PIPELINES[checkpoint.kind]
    results = [
        hub.EvalResult(
            task_type=task,
            dataset_type=data,
            dataset_name=data.replace("_", " "),
            dataset_revision=checkpoint.config.data.get(data),  # its sha256
            metric_type=metric,
            metric_name=f"{metric} (interval {interval[0]:.4g} to {interval[1]:.4g})" if interval else metric,
            metric_value=value,
            metric_args=args or None,
        )
        for data, measured in facts.metrics.items()
        if isinstance(measured, Mapping)
        for metric, (value, interval) in _measured(measured).items()
        for args in [
            (dict(zip(("low", "high"), interval, strict=True)) if interval else {})
            | ({"source": facts.source} if facts.source else {})
        ]
    ]
    data = hub.ModelCardData(
        library_name="transformers",
        pipeline_tag=task,
        license=facts.licence,
        base_model=facts.base,
        tags=["groundup"],
        model_name=name if results else None,
        eval_results=results or None,
    )
    return str(data.to_yaml())


def _measured(values: Mapping[str, Any]) -> dict[str, tuple[float, tuple[float, float] | None]]:
    """Return the measured values of one data set, each with its interval or None; whole numbers are counts."""
    found: dict[str, tuple[float, tuple[float, float] | None]] = {}
    for name, value in values.items():
        if _is_interval(value):
            found[name] = value["mean"], (value["low"], value["high"])
        elif isinstance(value, float):
            found[name] = value, None
    return found


def _is_interval(value: Any) -> bool:
    return isinstance(value, Mapping) and {"mean", "low", "high"} <= value.keys()


def _rows(metrics: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    """Return nested metrics as rows of a table: {"test": {"f1": 0.97}} -> [("test f1", "0.97")]."""
    rows = []
    for name, value in metrics.items():
        full = f"{before}{name}"
        if _is_interval(value):
            rows.append((full, f"{value['mean']:.4g} ({value['low']:.4g} to {value['high']:.4g})"))
        elif isinstance(value, Mapping):
            rows += _rows(value, f"{full} ")
        elif isinstance(value, int | float | str):
            rows.append((full, f"{value:.4g}" if isinstance(value, float) else str(value)))
        else:
            raise BadInput(
                f"the metric {full} is {value!r}; expected a number, a text, or a mapping of them: correct it."
            )
    return rows
