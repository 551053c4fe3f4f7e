"""A model described as stacks of parts with sizes, stored as JSON, so that drawing it needs no model."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter


@dataclass(frozen=True)
class Part:
    """A part of a model: one box in the picture of the data flow."""

    name: str  # of the module, as in the checkpoint; a part of the blocks has its name in the first block
    title: str
    detail: str
    shape: tuple[int, ...]  # of the output
    parameters: int
    flops: int  # multiplications and additions of the matrix products per token, at full context


@dataclass(frozen=True)
class Stack:
    """An encoder or decoder as parts: embeddings, which are summed, `layers` equal blocks, and the head."""

    title: str
    embeddings: tuple[Part, ...]
    block: tuple[Part, ...]  # the parts of one block, in the order of their calls
    layers: int
    norm_first: bool
    causal: bool
    head: tuple[Part, ...]
    # parts that also read the last hidden states, but that the head does not use
    aside: tuple[Part, ...] = ()

    @property
    def parameters(self) -> int:
        """Number of parameters of all parts, counting every block."""
        return sum(part.parameters * times for part, times in self.parts())

    @property
    def flops(self) -> int:
        """FLOPs per token of all parts, counting every block."""
        return sum(part.flops * times for part, times in self.parts())

    def parts(self) -> Iterator[tuple[Part, int]]:
        """Yield every part of the stack with the number of times it occurs."""
        yield from ((part, 1) for part in self.embeddings)
        yield from ((part, self.layers) for part in self.block)
        yield from ((part, 1) for part in (*self.head, *self.aside))


def read_stacks(found: Sequence[Mapping[str, Any]]) -> list[Stack]:
    """Read the stacks of one model from JSON.

    Args:
        found: the `dataclasses.asdict` of each stack.

    Raises:
        pydantic.ValidationError: the JSON does not describe stacks.
    """
    return TypeAdapter(list[Stack]).validate_python(found)
