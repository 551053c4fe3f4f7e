"""Rotary position embedding: queries and keys are rotated, so that their product depends on their distance.

Su et al. 2021 (RoFormer). Channel pair i turns by `position · base ** (-2 i / D)`: fast pairs distinguish neighbours,
slow pairs distant positions. Slowing down the slow pairs lets a model read longer texts than it was trained on;
RopeScaling has the methods that well-known models use. Shapes: see attention.py.
"""

import math

import torch
from torch import Tensor

from groundup.nn.config import RopeScaling


def frequencies(head_dim: int, base: float, scaling: RopeScaling | None = None) -> tuple[Tensor, float]:
    """Radians per position for each channel pair (D / 2,) float32, and the factor on cosines and sines.

    linear: all pairs are slowed down by `factor` (Chen et al. 2023). llama3: pairs that turn fewer than
    `low_freq_factor` times within the original context are slowed down, pairs that turn more than `high_freq_factor`
    times are not, and the pairs between them are in part (Llama 3.1). yarn: the same, with a linear ramp over the
    pairs from `beta_fast` to `beta_slow` turns; cosines and sines are multiplied by `attention_factor`, which makes
    attention sharper (Peng et al. 2023).
    """
    plain = base ** (-torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim)
    if scaling is None:
        return plain, 1.0
    slowed = plain / scaling.factor
    if scaling.kind == "linear":
        return slowed, 1.0
    if scaling.kind == "llama3":
        turns = scaling.original_context * plain / (2 * math.pi)
        kept = (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor)
        return slowed.lerp(plain, kept.clamp(0, 1)), 1.0

    def pair_with(turns: float) -> float:
        """The (fractional) index of the pair that turns `turns` times within the original context."""
        return head_dim * math.log(scaling.original_context / (turns * 2 * math.pi)) / (2 * math.log(base))

    first = max(math.floor(pair_with(scaling.beta_fast)), 0)
    last = min(math.ceil(pair_with(scaling.beta_slow)), head_dim - 1)
    ramp = (torch.arange(head_dim // 2) - first) / max(last - first, 1e-3)
    return plain.lerp(slowed, ramp.clamp(0, 1)), scaling.attention_factor


def rotary_tables(
    positions: Tensor, head_dim: int, base: float, scaling: RopeScaling | None = None
) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the rotation angles (Su et al. 2021, eq. 34).

    Args:
        positions: (B, T) or (T,) integers.

    Returns:
        cos, sin: (..., 1, T, D / 2), broadcasting over heads.
    """
    radians, factor = frequencies(head_dim, base, scaling)
    angles = (positions.float()[..., None] * radians.to(positions.device)).unsqueeze(-3)
    return angles.cos() * factor, angles.sin() * factor


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate each channel pair (i, i + D/2) of x (B, H, T, D) by its angle: Llama's "half split" layout."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1).type_as(x)
