"""The schedule of retraining and the rules of the gate: section `retrain` of params.yaml."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Lt

from groundup.settings import STRICT, check_schedule


@dataclass(frozen=True)
class GateConfig:
    """When a challenger replaces the champion. A limit of `.inf` never vetoes."""

    __pydantic_config__ = STRICT

    yearly_error: Annotated[float, Gt(0), Lt(1)]
    """Largest probability that, within a year in which no challenger is better, one is promoted nevertheless. Each
    registered model has its own budget; every look at the gate rows spends a part of it.
    """
    power: Annotated[float, Gt(0.5), Lt(1)]
    """Probability with which the smallest difference that the gate states would be found; also behind the number of
    rows that an undecided comparison needs.
    """
    confidence: Annotated[float, Gt(0.5), Lt(1)]
    """Confidence level of every interval that the gate reports."""
    smallest_gain: Annotated[float, Ge(0), Lt(1)]
    """Gain worth having, as a fraction: accuracy of the classifier, exact match of instructions. If the interval says
    that the gain is less, the champion is kept, even if the gain is significant.
    """
    smallest_bits_gain: Annotated[float, Ge(0)]
    """The same for the pretrained model, in bits per byte."""
    veto_level: Annotated[float, Gt(0), Lt(0.5)]
    """Level of the one-sided tests that veto: a guarded slice got worse, or conversations are predicted worse. A higher
    level protects more and also blocks more good challengers by chance.
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
    """Largest increase of the bits per byte of held-out conversations after instruction finetuning; a larger one vetoes
    if it is significant at `veto_level`.
    """
    bootstrap_samples: Annotated[int, Ge(100)]
    """Resamples behind the intervals of Matthews correlation, F1 and calibration error."""
    instances: Annotated[int, Ge(1)]
    """Number of instructions of the gate split that both models answer, spread over the split."""
    seed: int
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
