"""Linear layers in half precision for generation on a CPU: up to twice as fast, with half the memory."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

LARGEST = torch.finfo(torch.float16).max
M = TypeVar("M", bound=nn.Module)


class HalfLinear(nn.Module):
    """A linear layer that keeps its weights in float16 and computes in float32, by FBGEMM's kernel in torch.

    For one token, a layer multiplies a matrix by a vector, which takes as long as reading the matrix. Weights
    are rounded to 11 significant bits, which changes the outputs by about 2e-4 of their size.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach().float().contiguous()
        bias = None if linear.bias is None else linear.bias.detach().float()
        self.packed: Any = torch.ops.quantized.linear_prepack_fp16(weight, bias)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer: x (..., in) float32 -> (..., out) float32."""
        return torch.ops.quantized.linear_dynamic_fp16(x, self.packed)


def supported() -> bool:
    """Return whether this machine has the kernels of HalfLinear and Int8Linear: they need x86 with AVX2."""
    return (
        "fbgemm" in torch.backends.quantized.supported_engines
        and torch.backends.cpu.get_cpu_capability() != "DEFAULT"
    )


def to_half_linear(model: M) -> M:
    """Replace the linear layers of a model by layers in half precision, in place, and return the model.

    The model can then generate, but can be neither trained nor saved. Layers stay as they are if they are not
    on the CPU or have a weight beyond the range of float16, or if the machine has no kernel for half
    precision.
    """
    return replace_linear(model, HalfLinear, LARGEST)


def replace_linear(model: M, replacement: Callable[[nn.Linear], nn.Module], largest: float) -> M:
    """Replace the linear layers of a model in place, and return it.

    Layers stay as they are if they are not on the CPU or have a weight above `largest`, or if the machine has no
    kernel for the replacement.
    """
    if not supported():
        return model
    for parent in [*model.modules()]:
        for name, layer in [*parent.named_children()]:
            if type(layer) is nn.Linear and _fits(layer.weight, largest):
                setattr(parent, name, replacement(layer))
    return model


def _fits(weight: Tensor, largest: float) -> bool:
    return weight.device.type == "cpu" and float(weight.detach().abs().amax()) <= largest
