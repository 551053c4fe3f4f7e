"""params.yaml, typed: each section's dataclass lives beside its owner; here they are put together and checked."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from groundup.datasets.catalogue import DataConfig
from groundup.datasets.corpus import CorpusConfig
from groundup.datasets.instructions import InstructionsConfig
from groundup.datasets.spam import SpamConfig
from groundup.errors import BadInput
from groundup.evaluation.config import EvaluateConfig
from groundup.nn.config import ModelParams
from groundup.recipes import ComputeConfig, InstructionTrainingConfig, PretrainConfig, SpamTrainingConfig
from groundup.retraining import RetrainConfig
from groundup.settings import STRICT, describe
from groundup.tokenizers.bpe import TokenizerConfig

Sections = TypeVar("Sections")
NOT_PUBLISHED = "none"  # the value of `pretrained` for a model of our own


@dataclass(frozen=True)
class Params:
    """One field a section of params.yaml."""

    __pydantic_config__ = STRICT

    data: DataConfig
    corpus: CorpusConfig
    spam: SpamConfig
    instructions: InstructionsConfig
    tokenizer: TokenizerConfig
    model: ModelParams
    compute: ComputeConfig
    pretrained: str  # what is finetuned: NOT_PUBLISHED, a name of interop/fetching.py, or a path
    pretrain: PretrainConfig
    finetune_spam: SpamTrainingConfig
    finetune_instructions: InstructionTrainingConfig
    evaluate: EvaluateConfig
    retrain: RetrainConfig

    def __post_init__(self) -> None:
        trainable, blocks = self.finetune_spam.trainable_blocks, self.model.n_layer
        if self.pretrained == NOT_PUBLISHED and trainable is not None and trainable > blocks:
            raise BadInput(
                f"finetune_spam.trainable_blocks is {trainable}; model.n_layer gives {blocks} blocks; lower the one, "
                f"or say null for all"
            )


def load_params(path: Path) -> Params:
    """Read and check every section of params.yaml; errors as for `checked`."""
    return checked(Params, read_values(path), path)


def read_values(path: Path) -> Any:
    """The content of a YAML file, unchecked; BadInput where there is none."""
    try:
        return yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadInput(f"{path} was not found; run in the project's folder, where params.yaml is.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} is not valid YAML: {' '.join(str(error).split())}.") from error
    except OSError as error:
        raise BadInput(
            f"{path} cannot be read ({error.strerror}); expected the file of parameters."
        ) from error


def checked(kind: type[Sections], values: Any, path: Path) -> Sections:
    """Make the dataclass `kind` of the values read from `path`; YAML's `5e-4`, a string to PyYAML, becomes a number.

    Raises:
        BadInput: naming every missing, unknown, misspelt or ill-typed value with its path, all at once.
    """
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        raise BadInput(
            f"{path} has {error.error_count()} problem(s): {describe(error, values)}. Correct them and run again."
        ) from error


def load_beside(kind: type[Sections], names: Iterable[str], root_params: Path, own_params: Path) -> Sections:
    """The params.yaml of a further pipeline, with the sections `names` of the main one beside its own.

    Raises:
        BadInput: as for `checked`; or the file has one of these sections itself.
    """
    root, values = load_params(root_params), read_values(own_params)
    if isinstance(values, dict):
        for name in names:
            if name in values:
                raise BadInput(
                    f"{own_params} has a section {name}; the one of {root_params} holds here too: remove it."
                )
            values = {**values, name: getattr(root, name)}
    return checked(kind, values, own_params)
