"""What MLflow keeps: the section `tracking` of params.yaml. None of it changes what a stage writes."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge

from groundup.settings import STRICT


@dataclass(frozen=True)
class TrackingConfig:
    """What is copied into MLflow. No stage depends on this section, so a change reruns nothing."""

    __pydantic_config__ = STRICT

    copied_megabytes: Annotated[float, Ge(0)]
    """Weights up to this size, in millions of bytes, are copied into the logged model; larger ones are registered as
    a pointer to DVC's copy.
    """
    evaluated_per_family: Annotated[int, Ge(0)]
    """Test instructions of each family that MLflow shows one by one; each takes about 0.06 s and 10 kB. 0 = none."""
