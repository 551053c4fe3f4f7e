"""The schedule of retraining and the rules of the gate: section `retrain` of params.yaml."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Lt
from pydantic import ConfigDict

from groundup.settings import STRICT, Seed, check_schedule


@dataclass(frozen=True)
class GateConfig:
    """The rules by which a challenger replaces the champion. A limit of `.inf` never vetoes."""

    __pydantic_config__ = STRICT | ConfigDict(allow_inf_nan=True)

    yearly_error: Annotated[float, Gt(0), Lt(1)]
    """Largest probability of a promotion within a year in which no challenger is better. Each registered model has its
    own budget; every look at the gate rows spends a part of it.
    """
    power: Annotated[float, Gt(0.5), Lt(1)]
    """Probability of finding a gain of the size that the gate reports as the smallest it can show. It also determines
    how many more rows an undecided comparison needs.
    """
    confidence: Annotated[float, Gt(0.5), Lt(1)]
    """Confidence level of every interval that the gate reports."""
    smallest_gain: Annotated[float, Ge(0), Lt(1)]
    """Smallest gain worth having, as a fraction, in the accuracy of the classifier or the exact match of instructions.
    If the whole interval of the gain is below it, the champion is kept, even if the gain is significant.
    """
    smallest_bits_gain: Annotated[float, Ge(0)]
    """The same for the pretrained model, in bits per byte."""
    veto_level: Annotated[float, Gt(0), Lt(0.5)]
    """Level of the one-sided tests that veto a challenger for being worse on a guarded slice or at predicting
    conversations. A higher level protects more, but also blocks more good challengers by chance.
    """
    min_slice_rows: Annotated[int, Ge(1)]
    """A slice with fewer gate rows is reported but cannot veto."""
    max_ece_increase: Annotated[float, Ge(0)]
    """Largest increase of the expected calibration error; a larger one vetoes if its interval excludes 0."""
    max_latency_ratio: Annotated[float, Gt(0)]
    """Largest time per answer, relative to the champion's."""
    max_size_ratio: Annotated[float, Gt(0)]
    """Largest size of the checkpoint, relative to the champion's."""
    max_forgetting: Annotated[float, Ge(0)]
    """Largest increase of an instruction model's bits per byte on held-out conversations, compared with the champion's;
    a larger one vetoes if it is significant at `veto_level`.
    """
    bootstrap_samples: Annotated[int, Ge(100)]
    """Number of resamples for the intervals of Matthews correlation, F1 and calibration error."""
    instances: Annotated[int, Ge(1)]
    """Largest number of instructions that both models answer; they are spread over the gate split."""
    seed: Seed
    """Seeds the resamples."""


@dataclass(frozen=True)
class RetrainConfig:
    """The schedule of the retraining flow, and the rules of the gate.

    Raises:
        ValueError: the cron expression or the time zone is not valid.
    """

    __pydantic_config__ = STRICT

    cron: str
    """Five fields: minute hour day-of-month month day-of-week."""
    timezone: str
    """IANA name, such as Europe/Berlin."""
    gate: GateConfig

    def __post_init__(self) -> None:
        check_schedule(self.cron, self.timezone)
