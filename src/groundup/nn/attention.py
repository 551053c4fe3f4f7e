"""Multi-head causal self-attention with rotary positions, grouped queries and a key/value cache.

Shapes, here and in `decoder.py`: B sequences, T positions, C = n_embd channels, H query heads, K = n_kv_head
key/value heads (H is a multiple of K), D = C / H channels a head, V tokens in the vocabulary.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def rotary_tables(positions: Tensor, head_dim: int, base: float) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the rotary position embedding (Su et al. 2021, eq. 34).

    Channel pair i turns by `position / base ** (2 i / head_dim)` radians.

    Args:
        positions: (B, T) or (T,) integers.

    Returns:
        cos, sin: (..., 1, T, D / 2), broadcasting over heads.
    """
    frequencies = base ** (
        -torch.arange(0, head_dim, 2, device=positions.device, dtype=torch.float32) / head_dim
    )
    angles = (positions.float()[..., None] * frequencies).unsqueeze(-3)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each channel pair (i, i + D/2) of x (B, H, T, D) by its angle: the "half split" layout of Llama."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1).type_as(x)


@dataclass
class KVCache:
    """Keys and values of the positions already read, for every layer, and the tokens themselves.

    Rows may differ in length: `lengths[b]` positions of row b are valid, and the next ones are written behind
    them. A batch of prompts is therefore padded on the right, and decoding overwrites the padding.
    """

    keys: list[Tensor]  # per layer (B, K, capacity, D)
    values: list[Tensor]  # per layer (B, K, capacity, D)
    tokens: Tensor  # (B, capacity)
    lengths: Tensor  # (B,)

    @property
    def capacity(self) -> int:
        """Positions that fit, in every row."""
        return self.tokens.shape[1]

    def positions(self, n: int) -> Tensor:
        """(B, n): where the next n tokens of each row stand."""
        return self.lengths[:, None] + torch.arange(n, device=self.lengths.device)

    def append(self, layer: int, k: Tensor, v: Tensor, positions: Tensor, end: int) -> tuple[Tensor, Tensor]:
        """Store k, v (B, K, n, D) at `positions` (B, n) and return views of everything up to `end`."""
        assert end <= self.capacity, (end, self.capacity)
        where = positions[:, None, :, None].expand_as(k)
        self.keys[layer].scatter_(2, where, k.type_as(self.keys[layer]))
        self.values[layer].scatter_(2, where, v.type_as(self.values[layer]))
        return self.keys[layer][:, :, :end], self.values[layer][:, :, :end]

    def keep(self, rows: Tensor) -> "KVCache":
        """The cache of the given rows only: finished sequences leave the batch."""
        return KVCache(
            [k[rows] for k in self.keys],
            [v[rows] for v in self.values],
            self.tokens[rows],
            self.lengths[rows],
        )


@dataclass(frozen=True)
class Reading:
    """What one forward pass knows about its positions; computed once and shared by all layers."""

    rotary: tuple[Tensor, Tensor] | None  # cos, sin
    cache: KVCache | None = None
    positions: Tensor | None = None  # (B, T), with a cache
    end: int = 0  # cached positions in use after this pass
    mask: Tensor | None = None  # (B, 1, T, end) True = may look; None = plain causal


class CausalSelfAttention(nn.Module):
    """softmax(q kᵀ / sqrt(D)) v over the past (Vaswani et al. 2017, section 3.2), in H heads.

    With K < H, groups of H / K query heads share a key/value head (Ainslie et al. 2023). `qk_norm` normalises
    queries and keys to unit root mean square before the product (Henry et al. 2020).
    """

    def __init__(
        self,
        n_embd: int,
        n_head: int,
        n_kv_head: int,
        *,
        bias: bool,
        qk_norm: bool,
        norm_eps: float,
        dropout: float,
        layer: int,
    ) -> None:
        super().__init__()
        self.n_head, self.n_kv_head, self.head_dim = n_head, n_kv_head, n_embd // n_head
        self.qk_norm, self.norm_eps, self.dropout, self.layer = qk_norm, norm_eps, dropout, layer
        self.c_attn = nn.Linear(n_embd, (n_head + 2 * n_kv_head) * self.head_dim, bias=bias)
        self.c_proj = nn.Linear(n_embd, n_embd, bias=bias)
        self.resid_dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, reading: Reading) -> Tensor:
        """x (B, T, C) -> (B, T, C)."""
        B, T, C = x.shape
        heads = (self.n_head, self.n_kv_head, self.n_kv_head)
        q, k, v = (
            part.view(B, T, n, self.head_dim).transpose(1, 2)  # (B, heads, T, D)
            for part, n in zip(
                self.c_attn(x).split([n * self.head_dim for n in heads], dim=-1), heads, strict=True
            )
        )
        if self.qk_norm:
            q, k = (F.rms_norm(t, (self.head_dim,), eps=self.norm_eps) for t in (q, k))
        if reading.rotary is not None:
            q, k = rotate(q, *reading.rotary), rotate(k, *reading.rotary)
        if reading.cache is not None and reading.positions is not None:
            past_k, past_v = reading.cache.append(self.layer, k, v, reading.positions, reading.end)
            if reading.mask is not None:  # on the first pass the own keys are all there is
                k, v = past_k.type_as(q), past_v.type_as(q)
        if self.n_kv_head < self.n_head:
            k, v = (t.repeat_interleave(self.n_head // self.n_kv_head, dim=1) for t in (k, v))
        y = F.scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=reading.mask,
            is_causal=reading.mask is None and T > 1,
            dropout_p=self.dropout if self.training else 0.0,
        )
        return self.resid_dropout(self.c_proj(y.transpose(1, 2).reshape(B, T, C)))
