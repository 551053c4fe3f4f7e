"""The section `plan` of params.yaml: the budget that `groundup plan` compares a run with."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Gt

from groundup.settings import STRICT

Limit = Annotated[float, Gt(0)]


@dataclass(frozen=True)
class PlanConfig:
    """What a run may take at most. No stage depends on this section, so a change of it reruns nothing."""

    __pydantic_config__ = STRICT

    minutes: Limit | None
    """Minutes for all stages together; null = no limit."""
    memory_gigabytes: Limit | None
    """Peak memory of a stage, in billions of bytes: of the GPU if the training runs on one; null = no limit."""
    disk_gigabytes: Limit | None
    """New files, in billions of bytes: models, states, and their copies for DVC and MLflow; null = no limit."""
