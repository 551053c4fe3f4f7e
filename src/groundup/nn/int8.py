"""Linear layers in 8-bit integers for generation on a CPU: a quarter of the memory to read, and exact sums."""

import warnings
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from groundup.nn.half_precision import replace_linear

M = TypeVar("M", bound=nn.Module)
_product = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32.default
SMALLEST = 1e-30  # scale of an input that is 0
LEVELS = 127  # weights and inputs are rounded to -LEVELS .. LEVELS times a scale


class Int8Linear(nn.Module):
    """A linear layer with weights and inputs of 8 bits, multiplied by FBGEMM's kernel in torch (Khudia et al. 2021).

    Each row of the weights has a scale, and so has each position of the input: its largest absolute value. Sums of
    integers are exact, so an output depends neither on the other positions nor on their number. A scale for the whole
    input, as in torch's dynamic quantisation, would let the rows of a batch change each other.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach().float()
        scales = (weight.abs().amax(dim=1) / LEVELS).clamp(min=torch.finfo(torch.float32).tiny).double()
        zeros = torch.zeros(len(weight), dtype=torch.long)
        # torch calls quantised tensors deprecated, but nothing else packs weights for this kernel
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            rounded = torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8)
        self.packed: Any = torch.ops.quantized.linear_prepack(rounded, None)
        self.bias = None if linear.bias is None else linear.bias.detach().float()
        self.zero = input_levels() + 1
        self.step = 1 / input_levels()

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer: x (..., in) float32 -> (..., out) float32."""
        largest = x.abs().amax(dim=-1, keepdim=True).clamp_min_(SMALLEST)
        y = _product(x / largest, self.step, self.zero, self.packed).mul_(largest)
        return y if self.bias is None else y.add_(self.bias)


def input_levels() -> int:
    """Return the largest integer of a rounded input.

    Without VNNI instructions, a processor adds pairs of products in 16 bits, which hold those of 7-bit inputs only.
    """
    return LEVELS if torch.cpu._is_vnni_supported() else LEVELS // 2


def to_int8_linear(model: M) -> M:
    """Replace the linear layers of a model by layers of 8-bit integers, in place, and return the model.

    The model can then generate, but can be neither trained nor saved. Layers stay as they are if they are not on the
    CPU or have a weight that is not finite, or if the machine has no kernel for them.
    """
    return replace_linear(model, Int8Linear, torch.finfo(torch.float32).max)
