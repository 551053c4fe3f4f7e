"""Rotary position embedding: queries and keys turned by their position, so that their product knows the distance.

Su et al. 2021 (RoFormer). Channel pair i turns by `position · base ** (-2 i / D)`: fast pairs tell neighbours apart,
slow ones far places. A model reads texts longer than those it was trained on when the slow pairs are slowed down
further; the published models do so in one of the ways of RopeScaling. Shapes: see attention.py.
"""

import math

import torch
from torch import Tensor

from groundup.nn.config import RopeScaling


def frequencies(head_dim: int, base: float, scaling: RopeScaling | None = None) -> tuple[Tensor, float]:
    """Radians a position for each channel pair (D / 2,) float32, and the factor of cosines and sines.

    linear: positions are squeezed by `factor` (Chen et al. 2023). llama3: pairs that turn less than
    `low_freq_factor` times within the original context are, those that turn more than `high_freq_factor` times are
    not, the ones between in part (Llama 3.1). yarn: the same by a ramp over the pairs, from `beta_slow` to
    `beta_fast` turns, and with more decided attention: cosines and sines times `attention_factor` (Peng et al. 2023).
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
        """The (fractional) pair that turns so often within the original context."""
        return head_dim * math.log(scaling.original_context / (turns * 2 * math.pi)) / (2 * math.log(base))

    first = max(math.floor(pair_with(scaling.beta_fast)), 0)
    last = min(math.ceil(pair_with(scaling.beta_slow)), head_dim - 1)
    ramp = (torch.arange(head_dim // 2) - first) / max(last - first, 1e-3)
    return plain.lerp(slowed, ramp.clamp(0, 1)), scaling.attention_factor


def rotary_tables(
    positions: Tensor, head_dim: int, base: float, scaling: RopeScaling | None = None
) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the rotary position embedding (Su et al. 2021, eq. 34).

    Args:
        positions: (B, T) or (T,) integers.

    Returns:
        cos, sin: (..., 1, T, D / 2), broadcasting over heads.
    """
    radians, factor = frequencies(head_dim, base, scaling)
    angles = (positions.float()[..., None] * radians.to(positions.device)).unsqueeze(-3)
    return angles.cos() * factor, angles.sin() * factor


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each channel pair (i, i + D/2) of x (B, H, T, D) by its angle: the "half split" layout of Llama."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1).type_as(x)
