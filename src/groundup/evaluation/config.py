"""Settings of the evaluation: sections of params.yaml."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Lt

from groundup.settings import STRICT


@dataclass(frozen=True)
class EvaluateConfig:
    """How the finished models are measured."""

    __pydantic_config__ = STRICT

    bootstrap_samples: Annotated[int, Ge(1)]
    """Resamples behind every interval of the spam table."""
    confidence: Annotated[float, Gt(0), Lt(1)]
    """Confidence level of those intervals; exact match always has 95%."""
    max_new_tokens: Annotated[int, Ge(1)]
    """Longest response to an instruction."""
    batch_size: Annotated[int, Ge(1)]
    """Instructions answered at once."""
    before_per_family: Annotated[int, Ge(1)]
    """Tasks per family for the model before finetuning. It does not know when to stop, so it is slow, and it is
    hardly ever right: a few tasks are enough to show that.
    """
    samples: Annotated[int, Ge(0)]
    """Tasks per family shown in reports/samples.jsonl."""
    seed: int
    """Seeds the resamples and the responses."""


@dataclass(frozen=True)
class EvaluateStartsConfig:
    """How a start of the transfer pipeline is measured."""

    __pydantic_config__ = STRICT

    conversations: Annotated[int, Ge(1)]
    """Conversations of the corpus's val split, for bits per byte."""
    window: Annotated[int, Ge(1)]
    """Tokens of a conversation read at a time, at most the model's context."""
    instances: Annotated[int, Ge(1)]
    """Instances of each split of the instructions, in proportion to the size of each family."""
    max_new_tokens: Annotated[int, Ge(1)]
    """Longest response to an instruction."""
    batch_size: Annotated[int, Ge(1)]
    """Instructions answered at once."""
    seed: int
    """Seeds the choice of instances."""
