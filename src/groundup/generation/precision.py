"""The weights with which a decoder generates: as trained, or rounded so that a CPU reads less memory per token.

This module does not import torch, so that commands show their help quickly.
"""

from typing import TYPE_CHECKING, Literal, TypeVar

if TYPE_CHECKING:
    from torch import nn

    Net = TypeVar("Net", bound=nn.Module)

Weights = Literal["int8", "float16", "float32"]
# Up to this number of parameters, the weights fit in a CPU's cache, so that float32 is not slower than float16.
SMALL = 30_000_000


def is_small(model: "nn.Module") -> bool:
    """Return whether the model fits in a CPU's cache: rounding gains nothing, and more than one thread costs time."""
    return sum(p.numel() for p in model.parameters()) <= SMALL


def round_weights(model: "nn.Module", weights: Weights | None) -> None:
    """Round the linear layers of a model in place; the model can then only generate.

    Layers stay as they are if they are not on a CPU, or if the CPU has no kernels for them.

    Args:
        model: the model.
        weights: float32 keeps them. None: float16 for a model that is not small, else float32.
    """
    from groundup.nn.half_precision import to_half_linear
    from groundup.nn.int8 import to_int8_linear

    if weights == "int8":
        to_int8_linear(model)
    elif weights == "float16" or (weights is None and not is_small(model)):
        to_half_linear(model)


def rounded_copy(model: "Net", weights: Weights | None) -> "Net":
    """Return a copy of a model whose linear layers are rounded; it shares all other parameters with the model.

    The arguments are those of `round_weights`. If nothing is to be rounded, the result is the model itself.
    """
    if weights == "float32" or (weights is None and is_small(model)):
        return model
    from copy import deepcopy

    shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    copy = deepcopy(model, shared)
    round_weights(copy, weights)
    return copy
