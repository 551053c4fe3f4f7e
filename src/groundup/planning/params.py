"""The sections of params.yaml that a plan reads, with values that the command line replaces."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from groundup.errors import BadInput
from groundup.evaluation.config import EvaluateConfig
from groundup.nn.config import ModelParams
from groundup.planning.config import PlanConfig
from groundup.settings import describe, load_yaml
from groundup.text.counts import counted
from groundup.tokenizers.bpe import BytePairConfig, TokenizerConfig
from groundup.tracking.models import TrackingConfig
from groundup.training.config import (
    ComputeConfig,
    InstructionTrainingConfig,
    PretrainConfig,
    SpamTrainingConfig,
)

GPT2_VOCABULARY = 50_257


@dataclass(frozen=True)
class PlannedParams:
    """The sections of params.yaml on which the cost and the loss of a run depend.

    The pipeline's own type, MainParams in pipelines/params.py, adds the other sections.
    """

    tokenizer: TokenizerConfig
    model: ModelParams
    compute: ComputeConfig
    pretrain: PretrainConfig
    finetune_spam: SpamTrainingConfig
    finetune_instructions: InstructionTrainingConfig
    evaluate: EvaluateConfig
    tracking: TrackingConfig
    plan: PlanConfig

    @property
    def vocab_size(self) -> int:
        """Number of tokens of the tokenizer that will be trained or downloaded."""
        return vocab_size_of(self.tokenizer)


def vocab_size_of(tokenizer: TokenizerConfig) -> int:
    """Return the number of tokens of a tokenizer that will be trained or downloaded."""
    return tokenizer.vocab_size if isinstance(tokenizer, BytePairConfig) else GPT2_VOCABULARY


def read_planned(path: Path, overrides: Sequence[str] = ()) -> PlannedParams:
    """Read the sections of a params.yaml that a plan needs.

    Args:
        path: the file.
        overrides: values to replace, such as "model.n_layer=4", as for `dvc exp run -S`.

    Raises:
        BadInput: the file is missing or not YAML, an override names no value of the file, or a value is wrong.
    """
    try:
        values = load_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadInput(f"{path} was not found; run in the project's folder, where params.yaml is.") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadInput(
            f"{path} cannot be read as YAML ({' '.join(str(error).split())}); correct it."
        ) from error
    for override in overrides:
        _replace(values, override)
    names = [field.name for field in fields(PlannedParams)]
    wanted = {name: values[name] for name in names if name in values} if isinstance(values, dict) else values
    try:
        return TypeAdapter(PlannedParams).validate_python(wanted)
    except ValidationError as error:
        raise BadInput(
            f"{path}{f' with -S {chr(32).join(overrides)}' if overrides else ''} has "
            f"{counted(error.error_count(), 'problem')}: {describe(error, wanted)}. Correct this and run again."
        ) from error


def _replace(values: Any, override: str) -> None:
    """Replace one value in place; `override` is section.key=value, with the value in YAML."""
    name, equals, text = override.partition("=")
    *path, last = name.split(".")
    place = values
    for key in path:
        place = place.get(key) if isinstance(place, dict) else None
    if not equals or not isinstance(place, dict) or last not in place:
        raise BadInput(
            f"-S {override}: params.yaml has no value {name}; expected section.key=value, such as -S model.n_layer=4: "
            f"correct the name."
        )
    try:
        place[last] = load_yaml(text)
    except yaml.YAMLError as error:
        raise BadInput(f"-S {override}: {text!r} is not valid YAML; expected a value, such as 4.") from error
