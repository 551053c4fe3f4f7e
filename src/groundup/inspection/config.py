"""What the page about the transformer shows; needs no torch, so that reading it is quick."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge

from groundup.errors import BadInput
from groundup.settings import STRICT

Counted = Annotated[int, Ge(1)]  # counted from 1, as people do


@dataclass(frozen=True)
class ExplainConfig:
    """The section `explain` of the study's params.yaml."""

    __pydantic_config__ = STRICT

    sentence: str  # what the decoders and the encoder read
    verse: str  # what the encoder-decoder translates
    layer: Counted  # of the main pipeline's decoder, whose look is worked out step by step
    head: Counted

    def __post_init__(self) -> None:
        for name in ("sentence", "verse"):
            if not getattr(self, name).strip():
                raise BadInput(f"explain.{name} is empty; expected a sentence of some words.")
