"""The section `tracking` of params.yaml: what MLflow keeps. Its values change nothing that a stage writes."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge

from groundup.settings import STRICT


@dataclass(frozen=True)
class TrackingConfig:
    """How much is copied into MLflow. No stage depends on this section, so a change of it reruns nothing."""

    __pydantic_config__ = STRICT

    copied_megabytes: Annotated[float, Ge(0)]
    """Weights up to this size, in millions of bytes, are copied into the logged model; larger ones are registered as
    a pointer to DVC's copy.
    """
    evaluated_per_family: Annotated[int, Ge(0)]
    """Number of test instructions per family that MLflow shows one by one (0: none); each takes about 0.06 s and
    10 kB.
    """
