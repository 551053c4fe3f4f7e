"""The model card (README.md) of an exported model: what it is, its training data, its metrics, how to load it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from groundup.checkpoint import TITLES, Checkpoint
from groundup.errors import BadInput

PIPELINES = {"decoder": "text-generation", "encoder": "fill-mask", "classifier": "text-classification"}


@dataclass(frozen=True)
class CardFacts:
    """Facts for the model card that a checkpoint does not record.

    Attributes:
        licence: as the Hugging Face Hub names it, such as apache-2.0.
        base: the model that it was finetuned from, such as HuggingFaceTB/SmolLM2-135M-Instruct.
        revision: the git revision of the code.
        metrics: name -> value; may be nested.
    """

    licence: str | None = None
    base: str | None = None
    revision: str | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)


def model_card(name: str, checkpoint: Checkpoint, class_name: str, weights: str, facts: CardFacts) -> str:
    """Return the model card of an exported model: the text of README.md.

    Args:
        name: the model's name.
        checkpoint: the model.
        class_name: transformers' class, such as LlamaForCausalLM.
        weights: fingerprint of model.safetensors.
        facts: facts that the checkpoint does not record.

    Raises:
        BadInput: a metric is neither a number nor a text nor a mapping of them.
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
        metrics=list(_rows(facts.metrics)),
        config=config,
        title=TITLES[config.kind],
        pipeline=PIPELINES[config.kind],
        class_name=class_name,
        auto_class=f"AutoModelFor{class_name.partition('For')[2]}",
        parameters=sum(p.numel() for name, p in checkpoint.model.named_parameters() if ".lora_" not in name),
        hidden=trunk.config.hidden,
        weights=weights,
    )


def _rows(metrics: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    """Return nested metrics as rows of a table: {"test": {"f1": 0.97}} -> [("test f1", "0.97")]."""
    rows = []
    for name, value in metrics.items():
        full = f"{before}{name}"
        if isinstance(value, Mapping):
            rows += _rows(value, f"{full} ")
        elif isinstance(value, int | float | str):
            rows.append((full, f"{value:.4g}" if isinstance(value, float) else str(value)))
        else:
            raise BadInput(
                f"the metric {full} is {value!r}; expected a number, a text, or a mapping of them: correct it."
            )
    return rows
