"""Multi-head attention: to oneself or to an encoder's text, causal or not; rotary positions, grouped queries, cache.

Shapes, here and in the modules beside: B sequences, T positions, S positions of the text attended to (T for
self-attention), C = n_embd channels, H query heads, K = n_kv_head key/value heads (H is a multiple of K), D = C / H
channels a head, V tokens in the vocabulary.
"""

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from groundup.nn.config import ModelConfig
from groundup.nn.rotary import rotate


class KeysValues(NamedTuple):
    """Of one layer: keys and values, each (B, K, S, D)."""

    keys: Tensor
    values: Tensor


@dataclass(frozen=True)
class Memory:
    """An encoder's text, as the layers of a decoder read it.

    `mask` (B, 1, 1, S): True at real tokens. `layers`: its keys and values for each layer, which stay the same while
    a text is written, so they are computed once.
    """

    mask: Tensor
    layers: list[KeysValues]

    def keep(self, rows: Tensor) -> "Memory":
        """The memory of the given rows (n,), in that order; a row may be repeated."""
        return Memory(self.mask[rows], [KeysValues(k[rows], v[rows]) for k, v in self.layers])


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
    memory: Memory | None = None  # of the decoder of an encoder-decoder

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

    def beginning(self, n: int, capacity: int) -> "KVCache":
        """The first n positions of every row, in a cache with room for `capacity`."""
        room = (0, capacity - n)
        return KVCache(
            [F.pad(k[:, :, :n], (0, 0, *room)) for k in self.keys],
            [F.pad(v[:, :, :n], (0, 0, *room)) for v in self.values],
            F.pad(self.tokens[:, :n], room),
            torch.full_like(self.lengths, n),
            self.memory,
        )

    def keep(self, rows: Tensor, *, same_memory: bool = False) -> "KVCache":
        """The cache of the given rows (n,), in that order: finished sequences leave the batch, beams are repeated.

        With `same_memory` every new row has the source of the row that stood there: beams that change places.
        """
        return KVCache(
            [k[rows] for k in self.keys],
            [v[rows] for v in self.values],
            self.tokens[rows],
            self.lengths[rows],
            self.memory if self.memory is None or same_memory else self.memory.keep(rows),
        )


@dataclass
class Trace:
    """What a forward pass saw on its way, for those who want to look: pass one in, and it is filled.

    Attention is then computed step by step, since the fast kernels do not tell their weights; with `attention` False
    they compute it, and only `hidden` is filled.
    """

    hidden: list[Tensor] = field(default_factory=list)  # (B, T, C): the embeddings, then after each block
    weights: list[Tensor] = field(default_factory=list)  # per layer (B, H, T, T), row = query; sums to 1
    cross_weights: list[Tensor] = field(default_factory=list)  # per layer (B, H, T, S)
    encoder: "Trace | None" = None  # the encoder's, of an encoder-decoder
    attention: bool = True


@dataclass(frozen=True)
class AttentionContext:
    """What one forward pass knows about its positions; computed once and shared by all layers."""

    rotary: tuple[Tensor, Tensor] | None  # cos, sin
    causal: bool = True
    cache: KVCache | None = None
    positions: Tensor | None = None  # (B, T), or (T,) for all rows; attention asks with a cache only
    end: int = 0  # cached positions in use after this pass
    mask: Tensor | None = None  # (B, 1, T or 1, S) True = may look; None = all, or the past if causal
    memory: Memory | None = None
    trace: Trace | None = None
    common: Tensor | None = None  # (B,) tokens that all documents of a packed row begin with


def attend_step_by_step(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """softmax(q kᵀ / sqrt(D)) v (Vaswani et al. 2017, eq. 1), one line a step; what the fast kernels compute.

    Args:
        q: (B, H, T, D). k, v: (B, H, S, D). mask: broadcasts to (B, H, T, S), True = may look.

    Returns:
        The mixed values (B, H, T, D), and the weights (B, H, T, S).
    """
    scores = q @ k.mT / q.shape[-1] ** 0.5  # (B, H, T, S): how well each query fits each key
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    weights = scores.softmax(dim=-1)  # each row sums to 1
    return weights @ v, weights


class Attention(nn.Module):
    """softmax(q kᵀ / sqrt(D)) v (Vaswani et al. 2017, section 3.2), in H heads.

    Self-attention takes queries, keys and values from one text; with `cross`, queries come from it and keys and
    values from an encoder's. With K < H, groups of H / K query heads share a key/value head (Ainslie et al. 2023).
    `qk_norm` normalises queries and keys to unit root mean square before the product (Henry et al. 2020).
    """

    def __init__(self, config: ModelConfig, layer: int, cross: bool = False) -> None:
        super().__init__()
        self.n_head, self.n_kv_head = config.n_head, config.n_kv_head
        self.head_dim = config.n_embd // config.n_head
        self.qk_norm, self.norm_eps, self.dropout = config.qk_norm, config.norm_eps, config.dropout
        self.layer, self.cross = layer, cross
        queries, keys = self.n_head * self.head_dim, self.n_kv_head * self.head_dim
        if cross:
            self.c_q = nn.Linear(config.n_embd, queries, bias=config.bias)
            self.c_kv = nn.Linear(config.n_embd, 2 * keys, bias=config.bias)
        else:
            self.c_attn = nn.Linear(config.n_embd, queries + 2 * keys, bias=config.bias)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd, bias=config.bias)
        self.resid_dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, context: AttentionContext) -> Tensor:
        """x (B, T, C) -> (B, T, C)."""
        if self.cross:
            assert context.memory is not None
            q = self._placed(self._heads(self.c_q(x), self.n_head)[0], context.rotary)
            k, v = context.memory.layers[self.layer]
            y = self._attend(q, k, v, replace(context, mask=context.memory.mask, causal=False))
        else:
            y = self._attend(*self.queries_keys_values(x, context), context)
        return self.resid_dropout(self.c_proj(y.transpose(1, 2).flatten(2)))

    def keys_values(self, x: Tensor, rotary: tuple[Tensor, Tensor] | None) -> KeysValues:
        """An encoder's text x (B, S, C) as the keys and values of this cross-attention.

        Keys turned by their position in the source meet queries turned by theirs in the target: a head can look at
        the same place from the first step on.
        """
        k, v = self._heads(self.c_kv(x), self.n_kv_head, self.n_kv_head)
        return KeysValues(self._placed(k, rotary), v)

    def queries_keys_values(self, x: Tensor, context: AttentionContext) -> tuple[Tensor, Tensor, Tensor]:
        """q (B, H, T, D) and k, v (B, K, S, D), the cached past included."""
        q, k, v = self._heads(self.c_attn(x), self.n_head, self.n_kv_head, self.n_kv_head)
        q, k = self._placed(q, context.rotary), self._placed(k, context.rotary)
        if context.cache is not None and context.positions is not None:
            past_k, past_v = context.cache.append(self.layer, k, v, context.positions, context.end)
            if context.end > x.shape[1]:  # on the first pass the own keys are all there is
                k, v = past_k.type_as(q), past_v.type_as(q)
        return q, k, v

    def _heads(self, x: Tensor, *heads: int) -> list[Tensor]:
        """Cut (B, T, all heads · D) into a (B, heads, T, D) for each number of heads."""
        parts = x.split([n * self.head_dim for n in heads], dim=-1)
        return [part.unflatten(-1, (-1, self.head_dim)).transpose(1, 2) for part in parts]

    def _placed(self, x: Tensor, rotary: tuple[Tensor, Tensor] | None) -> Tensor:
        """Queries or keys (B, H, T, D), normalised where the model does so, and turned by their positions."""
        if self.qk_norm:
            x = F.rms_norm(x, (self.head_dim,), eps=self.norm_eps)
        return x if rotary is None else rotate(x, *rotary)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, context: AttentionContext) -> Tensor:
        """The values (B, H, T, D) that each query finds."""
        trace = context.trace if context.trace is not None and context.trace.attention else None
        # the CPU's kernel shares heads itself, faster and bit for bit; only its gradients are summed in another order
        shares = q.device.type == "cpu" and not q.requires_grad and trace is None
        if self.n_kv_head < self.n_head and not shares:
            k, v = (t.repeat_interleave(self.n_head // self.n_kv_head, dim=1) for t in (k, v))
        causal = context.causal and context.mask is None and q.shape[2] > 1
        if trace is not None:
            past = (
                torch.ones(q.shape[2], k.shape[2], dtype=torch.bool, device=q.device).tril()
                if causal
                else None
            )
            y, weights = attend_step_by_step(q, k, v, past if causal else context.mask)
            (trace.cross_weights if self.cross else trace.weights).append(weights)
            return y
        return F.scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=context.mask,
            is_causal=causal,
            dropout_p=self.dropout if self.training else 0.0,
            enable_gqa=k.shape[1] < q.shape[1],
        )
