"""The settings of the page about the transformer.

This module does not import torch, so importing it is quick.
"""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge

from groundup.errors import BadInput
from groundup.settings import STRICT

Counted = Annotated[int, Ge(1)]  # counted from 1


@dataclass(frozen=True)
class ExplainConfig:
    """The study's section `explain`: the texts and the attention that the page about the transformer shows.

    Raises:
        BadInput: a text is empty.
    """

    __pydantic_config__ = STRICT

    sentence: str
    """Text that the decoders and the encoder read."""
    verse: str
    """Text that the encoder-decoder translates."""
    layer: Counted
    """Layer of the main pipeline's decoder whose attention is computed step by step; the first is 1."""
    head: Counted
    """Head of that layer; the first is 1."""

    def __post_init__(self) -> None:
        for name in ("sentence", "verse"):
            if not getattr(self, name).strip():
                raise BadInput(f"explain.{name} is empty; expected a sentence: add some words.")
