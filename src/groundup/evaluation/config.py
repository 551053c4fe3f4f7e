"""The values of the evaluation: a section of params.yaml."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Lt

from groundup.settings import STRICT


@dataclass(frozen=True)
class EvaluateConfig:
    """How the finished models are measured."""

    __pydantic_config__ = STRICT

    bootstrap_samples: Annotated[int, Ge(1)]  # resamples behind every interval of the spam table
    confidence: Annotated[float, Gt(0), Lt(1)]  # of those intervals; exact match always has 95%
    max_new_tokens: Annotated[int, Ge(1)]  # longest response to an instruction
    batch_size: Annotated[int, Ge(1)]  # instructions answered at once
    # Tasks of each family for the model as it was before finetuning. It does not know when to stop, so it is slow to
    # ask, and right next to never: a few show it.
    before_per_family: Annotated[int, Ge(1)]
    samples: Annotated[int, Ge(0)]  # tasks of each family shown in reports/samples.jsonl
    seed: int


@dataclass(frozen=True)
class ScoreConfig:
    """How a starting point is scored."""

    __pydantic_config__ = STRICT

    conversations: Annotated[int, Ge(1)]  # of the corpus's val split, for bits per byte
    window: Annotated[int, Ge(1)]  # tokens read at a time there, or the model's context if that is shorter
    instances: Annotated[int, Ge(1)]  # of each split of the instructions, every family in its proportion
    max_new_tokens: Annotated[int, Ge(1)]
    batch_size: Annotated[int, Ge(1)]
    seed: int  # of the choice of instances
