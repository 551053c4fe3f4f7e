"""The settings of evaluations: sections of params.yaml."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Lt

from groundup.settings import STRICT, Seed


@dataclass(frozen=True)
class EvaluateConfig:
    """The section `evaluate` of params.yaml: how the finished models are evaluated."""

    __pydantic_config__ = STRICT

    bootstrap_samples: Annotated[int, Ge(1)]
    """Number of resamples for the intervals of the spam table."""
    confidence: Annotated[float, Gt(0), Lt(1)]
    """Confidence level of those intervals; exact match always has 95%."""
    max_new_tokens: Annotated[int, Ge(1)]
    """Largest number of tokens of a response to an instruction."""
    batch_size: Annotated[int, Ge(1)]
    """Number of instructions answered at once."""
    before_per_family: Annotated[int, Ge(1)]
    """Number of tasks per family that the model answers before finetuning (at least `samples`). It does not
    know when to stop, so it is slow, and it is hardly ever right: a few tasks are enough to show that.
    """
    samples: Annotated[int, Ge(0)]
    """Number of tasks per family shown in reports/samples.jsonl."""
    seed: Seed
    """Seeds the resamples and the responses."""


@dataclass(frozen=True)
class EvaluateLanguageConfig:
    """The section `evaluate_language` of params.yaml: how the pretrained model itself is evaluated."""

    __pydantic_config__ = STRICT

    pairs: Annotated[int, Ge(1)]
    """Number of minimal pairs per grammatical phenomenon; some have fewer."""
    ngram: Annotated[int, Ge(1)]
    """Longest n-gram of the language model to compare with, at most what fits in 64 bits."""
    texts: Annotated[int, Ge(1)]
    """Number of texts of each kind, for bits per byte."""
    seed: Seed
    """Seeds the choice of the pairs."""


@dataclass(frozen=True)
class EvaluateStartsConfig:
    """The section `evaluate_starts` of the transfer pipeline's params.yaml: how each start is evaluated."""

    __pydantic_config__ = STRICT

    conversations: Annotated[int, Ge(1)]
    """Number of conversations of the corpus's val split, for bits per byte."""
    window: Annotated[int, Ge(1)]
    """Number of tokens of a conversation read at a time, at most the model's context."""
    instances: Annotated[int, Ge(1)]
    """Number of instances of each split of the instructions, in proportion to the size of each family."""
    max_new_tokens: Annotated[int, Ge(1)]
    """Largest number of tokens of a response to an instruction."""
    question_tokens: Annotated[int, Ge(1)]
    """Largest number of tokens of an answer to one of the questions in conversations (verifiable/questions.py)."""
    batch_size: Annotated[int, Ge(1)]
    """Number of instructions answered at once."""
    seed: Seed
    """Seeds the choice of instances."""


@dataclass(frozen=True)
class JudgeConfig:
    """The section `ask_judge` of transfer's params.yaml: which model judges answers, and how often."""

    __pydantic_config__ = STRICT

    url: str | None
    """Base URL, such as http://127.0.0.1:11434/v1 for Ollama; null = no judge."""
    model: str
    """Name of the model on that server."""
    repeats: Annotated[int, Ge(1)]
    """Number of scores per answer."""
    instances: Annotated[int, Ge(1)]
    """Number of answers judged per model, from the first on."""
    temperature: Annotated[float, Ge(0)]
    """Sampling temperature of the judge."""
    timeout_seconds: Annotated[float, Gt(0)]
    """Longest time to wait for one score."""
