"""What a model is made of: stacks of parts with their sizes. Stored as JSON, so that a page needs no model."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter


@dataclass(frozen=True)
class Part:
    """One box of the data flow."""

    name: str  # of the module, as in the checkpoint; of a block: of the first one
    title: str
    detail: str
    shape: tuple[int, ...]  # of the tensor it hands on
    parameters: int
    flops: int  # a token: multiplications and additions of the matrix products, at a full context


@dataclass(frozen=True)
class Stack:
    """Encoder or decoder: embeddings, which are summed; `layers` equal blocks; what stands behind them."""

    title: str
    embeddings: tuple[Part, ...]
    block: tuple[Part, ...]  # of one block, in the order of calling
    layers: int
    norm_first: bool
    causal: bool
    head: tuple[Part, ...]
    aside: tuple[Part, ...] = ()  # reads the last hidden states too, but hands nothing on to the head

    @property
    def parameters(self) -> int:
        """Of all parts, each block counted."""
        return sum(part.parameters * times for part, times in self.parts())

    @property
    def flops(self) -> int:
        """A token, of all parts, each block counted."""
        return sum(part.flops * times for part, times in self.parts())

    def parts(self) -> Iterator[tuple[Part, int]]:
        """Every part, and how often the stack has it."""
        yield from ((part, 1) for part in self.embeddings)
        yield from ((part, self.layers) for part in self.block)
        yield from ((part, 1) for part in (*self.head, *self.aside))


def read_stacks(found: Sequence[Mapping[str, Any]]) -> list[Stack]:
    """The stacks of one model from their JSON, which is `asdict` of each."""
    return TypeAdapter(list[Stack]).validate_python(found)
