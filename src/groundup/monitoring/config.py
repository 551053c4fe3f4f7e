"""The section `monitor` of params.yaml."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from annotated_types import Ge, Gt, Lt

from groundup.settings import STRICT, Seed, check_schedule


@dataclass(frozen=True)
class PolicyConfig:
    """When drift starts a retraining: at least `violations` of the last `windows` windows raised the alarm.

    Raises:
        ValueError: `violations` is larger than `windows`.
    """

    __pydantic_config__ = STRICT

    violations: Annotated[int, Ge(1)]
    """Smallest number of windows with an alarm that starts a retraining."""
    windows: Annotated[int, Ge(1)]
    """Number of latest windows that count; those that led to an earlier retraining, and older ones, do not."""

    def __post_init__(self) -> None:
        if self.violations > self.windows:
            raise ValueError(
                f"violations is {self.violations}; expected at most windows, {self.windows}: lower it"
            )


@dataclass(frozen=True)
class MonitorConfig:
    """How windows of new messages are compared with the reference, and what follows.

    The reference consists of messages that the champion was not trained on (the splits val and gate).

    Raises:
        ValueError: the cron expression or the time zone is not valid, `max_messages` is below `min_messages`, or there
            are too few permutations for the false-alarm rate.
    """

    __pydantic_config__ = STRICT

    cron: str
    """Five fields: minute hour day-of-month month day-of-week."""
    timezone: str
    """IANA name, such as Europe/Berlin."""
    windows: Path
    """Folder of the windows, relative to the project: each CSV, JSON Lines or Parquet file is one window."""
    results: Path
    """Folder of the results (for each window aggregates as JSON, and a page), relative to the project."""
    min_messages: Annotated[int, Ge(20)]
    """Fewest messages, not counting near duplicates, that a window and the reference need."""
    max_messages: Annotated[int, Ge(20)]
    """Most messages of the window, and of the reference, that are compared; more are sampled."""
    false_alarm_rate: Annotated[float, Gt(0), Lt(1)]
    """Probability that a window raises the alarm although nothing has changed, over all tests together."""
    permutations: Annotated[int, Ge(99)]
    """Number of random permutations behind every p-value."""
    policy: PolicyConfig
    """When drift starts a retraining."""
    seed: Seed
    """Seed of the samples and permutations."""

    def __post_init__(self) -> None:
        check_schedule(self.cron, self.timezone)
        if self.max_messages < self.min_messages:
            raise ValueError(
                f"max_messages is {self.max_messages}; expected at least min_messages, {self.min_messages}: raise it"
            )
        needed = round(10 / self.false_alarm_rate) - 1  # for about ten tests; see `permutation.corrected`
        if self.permutations < needed:
            raise ValueError(
                f"permutations is {self.permutations}; a false_alarm_rate of {self.false_alarm_rate:g} needs at least "
                f"{needed}: raise it"
            )
