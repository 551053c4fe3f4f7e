"""Multi-head attention: self- and cross-attention, causal or not, with rotary positions, grouped queries and a cache.

Shapes, here and in the other modules of nn: B sequences, T positions, S positions of the text attended to (T for
self-attention), C = n_embd channels, H query heads, K = n_kv_head key/value heads (H is a multiple of K), D = C / H
channels per head, V tokens in the vocabulary.
"""

from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from groundup.nn.config import ModelConfig
from groundup.nn.rotary import rotate, rotate_into

# Tokens: on CPUs the backward pass of attention in bfloat16 multiplies one small block after the other; with shorter
# texts it takes 2.5 to 8 times as long as in float32.
SHORT = 256


class KeysValues(NamedTuple):
    """The keys and values of one attention layer, each (B, K, S, D)."""

    keys: Tensor
    values: Tensor


@dataclass(frozen=True)
class Memory:
    """The encoder's output in an encoder-decoder, as keys and values that the decoder attends to.

    It does not change during generation, so it is computed once.

    Attributes:
        mask: (B, 1, 1, S), True at real tokens.
        layers: keys and values for the cross-attention of each decoder layer.
    """

    mask: Tensor
    layers: list[KeysValues]

    def keep(self, rows: Tensor) -> "Memory":
        """Return the memory of the given rows (n,), in that order; a row may occur more than once."""
        return Memory(self.mask[rows], [KeysValues(k[rows], v[rows]) for k, v in self.layers])


@dataclass
class KVCache:
    """The key/value cache: keys and values of all earlier positions for every layer, and their tokens.

    Rows may differ in length: the first `lengths[b]` positions of row b are valid, and new ones are written
    after them. A batch of prompts is therefore padded on the right, and decoding overwrites the padding.
    """

    keys: list[Tensor]  # per layer (B, K, capacity, D)
    values: list[Tensor]  # per layer (B, K, capacity, D)
    tokens: Tensor  # (B, capacity)
    lengths: Tensor  # (B,)
    memory: Memory | None = None  # only in an encoder-decoder

    @property
    def capacity(self) -> int:
        """Number of positions that each row of the cache has space for."""
        return self.tokens.shape[1]

    def positions(self, n: int) -> Tensor:
        """Return the positions of the next n tokens of each row of the cache: (B, n)."""
        return self.lengths[:, None] + torch.arange(n, device=self.lengths.device)

    def places(self, positions: Tensor) -> Tensor:
        """Return where `append` stores the keys of positions (B, n), as indices (B · K · n,) of vectors in a layer."""
        heads = self.keys[0].shape[1]
        first = torch.arange(
            0, len(positions) * heads * self.capacity, self.capacity, device=positions.device
        )
        return (first.view(-1, heads, 1) + positions[:, None]).flatten()

    def append(self, layer: int, k: Tensor, v: Tensor, places: Tensor, end: int) -> tuple[Tensor, Tensor]:
        """Store keys and values in the cache.

        Args:
            layer: number of the layer, from 0.
            k: (B, K, n, D), the new keys.
            v: (B, K, n, D), the new values.
            places: where they are stored, from `places`.
            end: number of positions in use afterwards.

        Returns:
            The layer's keys and its values, each a view (B, K, end, D) into the cache.
        """
        assert end <= self.capacity, (end, self.capacity)
        for stored, new in ((self.keys[layer], k), (self.values[layer], v)):
            width = new.shape[-1]
            stored.view(-1, width).index_copy_(0, places, new.reshape(-1, width).type_as(stored))
        return self.keys[layer][:, :, :end], self.values[layer][:, :, :end]

    def rows(self, first: int, last: int) -> "KVCache":
        """Return rows `first` to `last` - 1 as a cache that shares its memory with this one."""
        return KVCache(
            [k[first:last] for k in self.keys],
            [v[first:last] for v in self.values],
            self.tokens[first:last],
            self.lengths[first:last],
        )

    def copy(self, source: "KVCache", origin: int, row: int, n: int) -> None:
        """Copy the first n positions of row `origin` of `source`, which may be this cache, to `row` of this cache."""
        for mine, theirs in zip((*self.keys, *self.values), (*source.keys, *source.values), strict=True):
            mine[row, :, :n] = theirs[origin, :, :n]
        self.tokens[row, :n] = source.tokens[origin, :n]
        self.lengths[row] = n

    def beginning(self, n: int, capacity: int) -> "KVCache":
        """Return a new cache with the first n positions of every row and space for `capacity` positions."""
        room = (0, capacity - n)
        return KVCache(
            [F.pad(k[:, :, :n], (0, 0, *room)) for k in self.keys],
            [F.pad(v[:, :, :n], (0, 0, *room)) for v in self.values],
            F.pad(self.tokens[:, :n], room),
            torch.full_like(self.lengths, n),
            self.memory,
        )

    def keep(self, rows: Tensor, *, same_memory: bool = False) -> "KVCache":
        """Return a cache with the given rows (n,), in that order; a row may occur more than once.

        This drops finished sequences or duplicates beams.

        Args:
            rows: (n,), indices of rows.
            same_memory: leave `memory` as it is, since beams that change places have the same source.
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
    """The hidden states and attention weights of one forward pass, which fills the trace passed to it.

    The fast attention kernels do not return weights, so a traced pass computes attention step by step. If
    `attention` is False, it uses the fast kernels and fills only `hidden`.
    """

    hidden: list[Tensor] = field(default_factory=list)  # (B, T, C): the embeddings, then after each block
    weights: list[Tensor] = field(default_factory=list)  # per layer (B, H, T, T), row = query; sums to 1
    cross_weights: list[Tensor] = field(default_factory=list)  # per layer (B, H, T, S)
    encoder: "Trace | None" = None  # only in an encoder-decoder
    attention: bool = True


@dataclass(frozen=True)
class AttentionContext:
    """What all layers share in one forward pass: positions, mask and cache, computed once."""

    rotary: tuple[Tensor, Tensor] | None  # cos, sin of the rotation angles; None without rotary positions
    causal: bool = True
    cache: KVCache | None = None
    positions: Tensor | None = None  # (B, T), or (T,) for all rows
    places: Tensor | None = None  # where a cache stores the keys and values of those positions
    end: int = 0  # number of cached positions in use after this pass
    mask: Tensor | None = None  # (B, 1, T or 1, S), True = visible; None = all, or the past if causal
    memory: Memory | None = None
    trace: Trace | None = None
    # on a CPU: positions in use of each row, if each row reads one token and the rows differ in length
    ends: list[int] | None = None
    common: Tensor | None = None  # (B,) length of the prefix that all documents of a packed row share


def attend_step_by_step(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Compute attention, softmax(q kᵀ / sqrt(D)) v (Vaswani et al. 2017, eq. 1), one line per step.

    The fast kernels compute the same, but do not return the weights.

    Args:
        q: (B, H, T, D), queries.
        k: (B, H, S, D), keys.
        v: (B, H, S, D), values.
        mask: broadcasts to (B, H, T, S), True = visible; None: everything is visible.

    Returns:
        The weighted sums of the values (B, H, T, D), and the weights (B, H, T, S).
    """
    scores = q @ k.mT / q.shape[-1] ** 0.5  # (B, H, T, S): how well each query matches each key
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    weights = scores.softmax(dim=-1)  # each row sums to 1
    return weights @ v, weights


class RotatedHeads(torch.autograd.Function):
    """The queries, keys and values of a projection: queries and keys normalised (with `eps`), then rotated.

    It computes the same as `F.rms_norm` and `rotate`, but for queries and keys at once, and writes the three
    gradients into the one tensor that the projection's backward pass reads.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, n_kv_head: int, cos: Tensor, sin: Tensor, eps: float | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Split, normalise and rotate.

        Args:
            ctx: autograd's context.
            x: (B, T, H + 2 K, D).
            n_kv_head: K.
            cos: (..., 1, T, D / 2), from `rotary_tables`.
            sin: (..., 1, T, D / 2), from `rotary_tables`.
            eps: is added to the mean square by the norm; None: no norm.

        Returns:
            q (B, H, T, D), k (B, K, T, D) and v (B, K, T, D).
        """
        cos, sin = cos.transpose(-3, -2), sin.transpose(-3, -2)  # (..., T, 1, D / 2)
        qk, v = x[:, :, :-n_kv_head], x[:, :, -n_kv_head:]
        y = torch.empty(qk.shape, dtype=torch.promote_types(x.dtype, cos.dtype), device=x.device)
        rotate_into(y, qk, cos, sin)
        scale = None
        if eps is not None:
            norm = torch.linalg.vector_norm(qk, dim=-1, keepdim=True, dtype=y.dtype)
            scale = norm.square_().div_(x.shape[-1]).add_(eps).rsqrt_()
            y *= scale
        y = y.type_as(x)
        ctx.save_for_backward(cos, sin, scale, None if eps is None else y)
        q, k = y[:, :, :-n_kv_head], y[:, :, -n_kv_head:]
        return q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Apply the gradient of the norm and the inverse rotation to the gradients of q and k."""
        cos, sin, scale, y = ctx.saved_tensors
        gq, gk, gv = (g.transpose(1, 2) for g in gradients)
        (B, T, H, D), K = gq.shape, gk.shape[2]
        result = torch.empty(
            B, T, H + 2 * K, D, dtype=torch.promote_types(gq.dtype, cos.dtype), device=gq.device
        )
        heads = (slice(H), slice(H, H + K))
        for g, part in zip((gq, gk), heads, strict=True):
            if y is not None:
                along = (g * y[:, :, part]).sum(dim=-1, keepdim=True) / D
                # 1, or yarn's attention factor squared
                squared = cos[..., :1].square() + sin[..., :1].square()
                g = torch.addcmul(g, y[:, :, part], along / squared, value=-1)
            rotate_into(result[:, :, part], g, cos, -sin)
        if scale is not None:
            result[:, :, : H + K] *= scale
        result[:, :, H + K :] = gv
        return result.type_as(gq), None, None, None, None


class Attention(nn.Module):
    """Multi-head attention: softmax(q kᵀ / sqrt(D)) v in H heads (Vaswani et al. 2017, section 3.2).

    Self-attention takes queries, keys and values from one text. With `cross`, queries come from the decoder's
    text, keys and values from the encoder's. If K < H, each group of H / K query heads shares one key/value
    head (Ainslie et al. 2023). `config.qk_norm` normalises queries and keys to unit root mean square before
    the product (Henry et al. 2020).
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
        """Compute the output of attention: x (B, T, C) -> (B, T, C)."""
        if self.cross:
            assert context.memory is not None
            q = self._normalise_and_rotate(self._heads(self.c_q(x), self.n_head)[0], context.rotary)
            k, v = context.memory.layers[self.layer]
            y = self._attend(q, k, v, replace(context, mask=context.memory.mask, causal=False, ends=None))
        else:
            y = self._attend(*self.queries_keys_values(x, context), context)
        return self.resid_dropout(self.c_proj(y.transpose(1, 2).flatten(2)))

    def keys_values(self, x: Tensor, rotary: tuple[Tensor, Tensor] | None) -> KeysValues:
        """Compute the keys and values of cross-attention from the encoder's output x (B, S, C).

        Keys are rotated by their position in the source, queries by their position in the target. So a head
        can attend to the same position in the other text from the first step of training.
        """
        k, v = self._heads(self.c_kv(x), self.n_kv_head, self.n_kv_head)
        return KeysValues(self._normalise_and_rotate(k, rotary), v)

    def queries_keys_values(self, x: Tensor, context: AttentionContext) -> tuple[Tensor, Tensor, Tensor]:
        """Compute the queries, keys and values of self-attention for x (B, T, C).

        Returns:
            q (B, H, T, D), k (B, K, S, D) and v (B, K, S, D); k and v include the cached past.
        """
        x = self.c_attn(x)
        if context.rotary is not None:
            eps = self.norm_eps if self.qk_norm else None
            heads = x.unflatten(-1, (-1, self.head_dim))
            q, k, v = RotatedHeads.apply(heads, self.n_kv_head, *context.rotary, eps)
        else:
            q, k, v = self._heads(x, self.n_head, self.n_kv_head, self.n_kv_head)
            q, k = self._normalise_and_rotate(q, None), self._normalise_and_rotate(k, None)
        if context.cache is not None and context.places is not None:
            past_k, past_v = context.cache.append(self.layer, k, v, context.places, context.end)
            if context.end > x.shape[1]:  # otherwise the cache holds nothing but these keys and values
                k, v = past_k.type_as(q), past_v.type_as(q)
        return q, k, v

    def _heads(self, x: Tensor, *heads: int) -> list[Tensor]:
        """Split x (B, T, sum of heads · D) into heads: one tensor (B, n, T, D) for each n in `heads`."""
        parts = x.split([n * self.head_dim for n in heads], dim=-1)
        return [part.unflatten(-1, (-1, self.head_dim)).transpose(1, 2) for part in parts]

    def _normalise_and_rotate(self, x: Tensor, rotary: tuple[Tensor, Tensor] | None) -> Tensor:
        """Normalise (if `qk_norm`) and rotate (if `rotary`) queries or keys (B, H, T, D)."""
        if self.qk_norm:
            x = F.rms_norm(x, (self.head_dim,), eps=self.norm_eps)
        return x if rotary is None else rotate(x, *rotary)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, context: AttentionContext) -> Tensor:
        """Compute the weighted sums of the values (B, H, T, D), and fill the trace if there is one."""
        trace = context.trace if context.trace is not None and context.trace.attention else None
        # The CPU kernel can share key/value heads itself, faster and with the same bits. It is not used in
        # training, because it sums gradients in another order.
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
        if context.ends is not None:
            # one row at a time: no time goes into padding, and the sums are those of the row alone, bit for bit
            rows = zip(q.split(1), k.split(1), v.split(1), context.ends, strict=True)
            shared = k.shape[1] < q.shape[1]
            return torch.cat(
                [
                    F.scaled_dot_product_attention(
                        q, k.narrow(2, 0, end), v.narrow(2, 0, end), enable_gqa=shared
                    )
                    for q, k, v, end in rows
                ]
            )
        precise = (
            q.requires_grad and q.dtype == torch.bfloat16 and q.device.type == "cpu" and k.shape[2] < SHORT
        )
        if precise:
            q, k, v = q.float(), k.float(), v.float()
        with torch.autocast(q.device.type, enabled=False) if precise else nullcontext():
            return F.scaled_dot_product_attention(
                q,
                k,
                v,
                attn_mask=context.mask,
                is_causal=causal,
                dropout_p=self.dropout if self.training else 0.0,
                enable_gqa=k.shape[1] < q.shape[1],
            )
