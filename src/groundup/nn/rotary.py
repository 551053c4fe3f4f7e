"""Rotary position embedding: queries and keys are rotated, so that their product depends on their distance.

Su et al. 2021 (RoFormer). Channel pair i rotates by the angle `position · base ** (-2 i / D)`: fast pairs
distinguish neighbouring positions, slow pairs distant ones. If slow pairs are slowed down further, a model
can read longer texts than it was trained on; RopeScaling has the methods that well-known models use. Shapes:
see attention.py.
"""

import math

import torch
from torch import Tensor

from groundup.nn.config import RopeScaling


def frequencies(head_dim: int, base: float, scaling: RopeScaling | None = None) -> tuple[Tensor, float]:
    """Compute the angles by which rotary positions rotate each pair of channels.

    The kinds of scaling:

    - linear: all pairs are slowed down by `factor` (Chen et al. 2023).
    - llama3: pairs that turn fewer than `low_freq_factor` times within the original context are slowed down
      by `factor`, pairs that turn more than `high_freq_factor` times are not, and the pairs between them are
      in part (Llama 3.1).
    - yarn: as llama3, but between `beta_fast` and `beta_slow` turns, with a linear ramp over the pairs.
      Cosines and sines are multiplied by `attention_factor`, which makes attention sharper (Peng et al.
      2023).

    Args:
        head_dim: D, channels per head.
        base: the base of the frequencies.
        scaling: how they are slowed down; None: not at all.

    Returns:
        Radians per position of each pair, (D / 2,) float32, and the factor on cosines and sines.
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
        """Return the fractional index of the pair that turns `turns` times within the original context."""
        return head_dim * math.log(scaling.original_context / (turns * 2 * math.pi)) / (2 * math.log(base))

    first = max(math.floor(pair_with(scaling.beta_fast)), 0)
    last = min(math.ceil(pair_with(scaling.beta_slow)), head_dim - 1)
    ramp = (torch.arange(head_dim // 2) - first) / max(last - first, 1e-3)
    return plain.lerp(slowed, ramp.clamp(0, 1)), scaling.attention_factor


def rotary_tables(
    positions: Tensor, head_dim: int, base: float, scaling: RopeScaling | None = None
) -> tuple[Tensor, Tensor]:
    """Compute cosines and sines of the angles of rotary positions (Su et al. 2021, eq. 34).

    Args:
        positions: (B, T) or (T,) integers.
        head_dim: D, channels per head.
        base: the base of the frequencies.
        scaling: see `frequencies`.

    Returns:
        cos and sin, each (..., 1, T, D / 2), which broadcast over heads.
    """
    radians, factor = frequencies(head_dim, base, scaling)
    angles = (positions.float()[..., None] * radians.to(positions.device)).unsqueeze(-3)
    return angles.cos() * factor, angles.sin() * factor


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate queries or keys x (B, H, T, D): each channel pair (i, i + D/2), as in Llama, by its angle."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1).type_as(x)


def rotate_into(out: Tensor, x: Tensor, cos: Tensor, sin: Tensor) -> None:
    """Write `rotate(x, cos, sin)` into `out`, which has the dtype of cos and sin, in four passes over half of it."""
    (first, second), (out_first, out_second) = x.chunk(2, dim=-1), out.chunk(2, dim=-1)
    torch.mul(first, cos, out=out_first).addcmul_(second, sin, value=-1)
    torch.mul(second, cos, out=out_second).addcmul_(first, sin)
