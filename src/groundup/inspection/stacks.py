"""A model as stacks of parts with their sizes, stored as JSON, so that drawing a page needs no model."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter


@dataclass(frozen=True)
class Part:
    """One box of the data flow."""

    name: str  # of the module, as in the checkpoint; for a part of the blocks, its name in the first block
    title: str
    detail: str
    shape: tuple[int, ...]  # of the output
    parameters: int
    flops: int  # per token: multiplications and additions of the matrix products, at full context


@dataclass(frozen=True)
class Stack:
    """An encoder or decoder: embeddings, which are summed, then `layers` equal blocks, then the head."""

    title: str
    embeddings: tuple[Part, ...]
    block: tuple[Part, ...]  # the parts of one block, in the order of their calls
    layers: int
    norm_first: bool
    causal: bool
    head: tuple[Part, ...]
    aside: tuple[Part, ...] = ()  # also read the last hidden states, but give nothing to the head

    @property
    def parameters(self) -> int:
        """Parameters of all parts, counting every block."""
        return sum(part.parameters * times for part, times in self.parts())

    @property
    def flops(self) -> int:
        """FLOPs per token of all parts, counting every block."""
        return sum(part.flops * times for part, times in self.parts())

    def parts(self) -> Iterator[tuple[Part, int]]:
        """Every part with the number of times it occurs in the stack."""
        yield from ((part, 1) for part in self.embeddings)
        yield from ((part, self.layers) for part in self.block)
        yield from ((part, 1) for part in (*self.head, *self.aside))


def read_stacks(found: Sequence[Mapping[str, Any]]) -> list[Stack]:
    """The stacks of one model from JSON, which holds the `asdict` of each.

    Raises:
        pydantic.ValidationError: the JSON does not describe stacks.
    """
    return TypeAdapter(list[Stack]).validate_python(found)
