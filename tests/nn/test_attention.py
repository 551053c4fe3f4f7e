import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from groundup.nn.attention import (
    Attention,
    AttentionContext,
    KVCache,
    Memory,
    RotatedHeads,
    Trace,
    attend_step_by_step,
)
from groundup.nn.rotary import rotary_tables, rotate
from tests.tiny import model_config

B, T, C, H, D = 2, 5, 16, 4, 4


def attention(n_kv_head: int = H, qk_norm: bool = False, bias: bool = True, cross: bool = False) -> Attention:
    torch.manual_seed(0)
    config = model_config("gpt2", n_embd=C, n_head=H, n_kv_head=n_kv_head, qk_norm=qk_norm, bias=bias)
    return Attention(config, layer=0, cross=cross).eval()


def step_by_step(layer: Attention, x: Tensor, base: float | None = None) -> Tensor:
    """Attention computed one head and one position at a time."""
    groups = layer.n_head // layer.n_kv_head
    # rows of q, k, v
    weight = layer.c_attn.weight.split([layer.n_head * D, layer.n_kv_head * D, layer.n_kv_head * D])
    bias = torch.zeros(len(layer.c_attn.weight)) if layer.c_attn.bias is None else layer.c_attn.bias
    biases = bias.split([layer.n_head * D, layer.n_kv_head * D, layer.n_kv_head * D])
    out = torch.zeros(B, T, C)
    for b in range(B):
        for head in range(layer.n_head):
            shared = head // groups  # the key/value head that this query head uses

            def project(part: int, which: int, t: int, b: int = b) -> Tensor:
                rows = slice(which * D, (which + 1) * D)
                vector = weight[part][rows] @ x[b, t] + biases[part][rows]
                if part < 2 and layer.qk_norm:
                    vector = vector / (vector.square().mean() + 1e-5).sqrt()
                if part < 2 and base is not None:
                    vector = turned(vector, t, base)
                return vector

            for t in range(T):
                query = project(0, head, t)
                scores = torch.stack([query @ project(1, shared, s) / math.sqrt(D) for s in range(t + 1)])
                attended = scores.exp() / scores.exp().sum()  # softmax over the past and itself
                values = torch.stack([project(2, shared, s) for s in range(t + 1)])
                out[b, t, head * D : (head + 1) * D] = (attended[:, None] * values).sum(dim=0)
    y = out @ layer.c_proj.weight.T
    return y if layer.c_proj.bias is None else y + layer.c_proj.bias


def turned(vector: Tensor, position: float, base: float) -> Tensor:
    """The rotation of each pair (i, i + D/2), as a product of complex numbers."""
    half = len(vector) // 2
    out = torch.empty_like(vector)
    for i in range(half):
        angle = position * base ** (-2 * i / len(vector))
        z = complex(vector[i], vector[i + half]) * complex(math.cos(angle), math.sin(angle))
        out[i], out[i + half] = z.real, z.imag
    return out


@pytest.mark.parametrize("n_kv_head", [4, 2, 1])
@pytest.mark.parametrize("qk_norm", [False, True])
@pytest.mark.parametrize("base", [None, 100.0])
@torch.no_grad()
def test_equals_attention_written_out_step_by_step(n_kv_head: int, qk_norm: bool, base: float | None) -> None:
    layer = attention(n_kv_head, qk_norm, bias=not qk_norm)
    x = torch.randn(B, T, C)
    rotary = None if base is None else rotary_tables(torch.arange(T), D, base)
    torch.testing.assert_close(
        layer(x, AttentionContext(rotary)), step_by_step(layer, x, base), atol=1e-5, rtol=1e-5
    )


@torch.no_grad()
def test_grouped_queries_equal_full_attention_with_repeated_heads() -> None:
    grouped, full = attention(2), attention(4)
    for name in ("weight", "bias"):
        q, k, v = getattr(grouped.c_attn, name).split([16, 8, 8])
        k, v = (torch.cat([t[:4], t[:4], t[4:], t[4:]]) for t in (k, v))
        getattr(full.c_attn, name).copy_(torch.cat([q, k, v]))
        getattr(full.c_proj, name).copy_(getattr(grouped.c_proj, name))
    x = torch.randn(B, T, C)
    torch.testing.assert_close(grouped(x, AttentionContext(None)), full(x, AttentionContext(None)))


@torch.no_grad()
def test_no_position_sees_the_future() -> None:
    layer, x = attention(), torch.randn(B, T, C)
    before = layer(x, AttentionContext(None))
    for t in range(T - 1):
        changed = x.clone()
        changed[:, t + 1 :] += 10.0
        after = layer(changed, AttentionContext(None))
        assert torch.equal(after[:, : t + 1], before[:, : t + 1])
        assert not torch.isclose(after[:, t + 1 :], before[:, t + 1 :]).any()


def empty_cache(n_kv_head: int, capacity: int) -> KVCache:
    shape = (B, n_kv_head, capacity, D)
    return KVCache(
        [torch.zeros(shape)],
        [torch.zeros(shape)],
        torch.zeros(B, capacity, dtype=torch.long),
        torch.zeros(B, dtype=torch.long),
    )


@pytest.mark.parametrize("n_kv_head", [4, 2])
@torch.no_grad()
def test_cached_equals_uncached(n_kv_head: int) -> None:
    layer, x = attention(n_kv_head), torch.randn(B, T, C)
    cache = empty_cache(n_kv_head, T)
    found = []
    for start, n in ((0, 2), (2, 1), (3, 2)):  # a prompt, one token, a chunk
        positions = cache.positions(n)
        mask = (torch.arange(start + n) <= positions[:, None, :, None]) if start else None
        context = AttentionContext(
            rotary_tables(positions, D, 100.0),
            True,
            cache,
            positions,
            cache.places(positions),
            start + n,
            mask,
        )
        found.append(layer(x[:, start : start + n], context))
        cache.lengths += n
    plain = layer(x, AttentionContext(rotary_tables(torch.arange(T), D, 100.0)))
    torch.testing.assert_close(torch.cat(found, dim=1), plain)


def test_a_kept_row_keeps_its_past() -> None:
    cache = empty_cache(2, 3)
    cache.keys[0][1] = 7.0
    cache.tokens[1] = torch.tensor([4, 5, 6])
    cache.lengths += torch.tensor([1, 3])
    cache.memory = Memory(torch.eye(2, dtype=torch.bool)[:, None, None], [])
    kept = cache.keep(torch.tensor([1]))
    assert kept.lengths.tolist() == [3]
    assert kept.tokens.tolist() == [[4, 5, 6]]
    assert bool((kept.keys[0] == 7.0).all())
    assert kept.capacity == 3
    assert kept.memory is not None and kept.memory.mask.tolist() == [[[[False, True]]]]
    assert cache.keep(torch.tensor([1, 0]), same_memory=True).memory is cache.memory


@torch.no_grad()
def test_without_causality_every_position_sees_all() -> None:
    layer, x = attention(), torch.randn(B, T, C)
    before = layer(x, AttentionContext(None, causal=False))
    changed = x.clone()
    changed[:, -1] += 10.0
    assert not torch.isclose(layer(changed, AttentionContext(None, causal=False)), before).any()


@torch.no_grad()
def test_cross_attention_by_hand() -> None:
    # the definition, head by head, on a source of three positions; the last one is padding in row 0
    layer = attention(cross=True)
    x, source = torch.randn(B, T, C), torch.randn(B, 3, C)
    mask = torch.tensor([[True, True, False], [True, True, True]])[:, None, None]
    found = layer(x, AttentionContext(None, memory=Memory(mask, [layer.keys_values(source, None)])))
    keys, values = (source @ layer.c_kv.weight.T + layer.c_kv.bias).split(C, dim=-1)
    queries = x @ layer.c_q.weight.T + layer.c_q.bias
    mixed = torch.zeros(B, T, C)
    for b, n in enumerate((2, 3)):
        for head in range(H):
            part = slice(head * D, (head + 1) * D)
            for t in range(T):
                scores = torch.stack(
                    [queries[b, t, part] @ keys[b, s, part] / math.sqrt(D) for s in range(n)]
                )
                mixed[b, t, part] = scores.softmax(0) @ values[b, :n, part]
    expected = mixed @ layer.c_proj.weight.T + layer.c_proj.bias
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_the_steps_of_attention_by_hand() -> None:
    # scores 0 and ln 3 give the weights 1/4 and 3/4; the second key is hidden from the second query
    q = torch.tensor([[[[1.0], [1.0]]]])
    k = torch.tensor([[[[0.0], [math.log(3.0)]]]])
    v = torch.tensor([[[[4.0], [8.0]]]])
    mixed, weights = attend_step_by_step(q, k, v, torch.tensor([[True, True], [True, False]]))
    torch.testing.assert_close(weights[0, 0], torch.tensor([[0.25, 0.75], [1.0, 0.0]]))
    torch.testing.assert_close(mixed[0, 0, :, 0], torch.tensor([7.0, 4.0]))


@pytest.mark.parametrize("rotary", [True, False])
def test_short_texts_train_their_attention_in_float32(rotary: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    layer, context = (
        attention(),
        AttentionContext(rotary_tables(torch.arange(T), D, 100.0) if rotary else None),
    )
    inputs, kernel, used = torch.randn(B, T, C), F.scaled_dot_product_attention, []

    def spy(*args: Tensor, **options: Any) -> Tensor:
        y = kernel(*args, **options)
        used.append(y.dtype)
        return y

    def gradient(short: int, bf16: bool = True) -> Tensor:
        monkeypatch.setattr("groundup.nn.attention.SHORT", short)
        x = inputs.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            y = layer(x, context)
        y.float().square().sum().backward()
        assert x.grad is not None
        return x.grad

    expected = gradient(T + 1, bf16=False)
    monkeypatch.setattr(F, "scaled_dot_product_attention", spy)
    for short in (T + 1, T):
        found = gradient(short)
        assert float((found - expected).norm() / expected.norm()) < 0.02
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        layer(inputs, context)
    assert used == [torch.float32, torch.bfloat16, torch.bfloat16]


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("n_kv_head", [4, 2])
@torch.no_grad()
def test_a_trace_changes_nothing_and_its_rows_sum_to_one(causal: bool, n_kv_head: int) -> None:
    layer, x, trace = attention(n_kv_head), torch.randn(B, T, C), Trace()
    fast = layer(x, AttentionContext(None, causal))
    torch.testing.assert_close(
        layer(x, AttentionContext(None, causal, trace=trace)), fast, atol=1e-6, rtol=1e-5
    )
    [weights] = trace.weights
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(B, H, T))
    assert bool((weights.triu(1) == 0).all()) == causal


@torch.no_grad()
def test_with_rotary_positions_cross_attention_depends_on_the_distance() -> None:
    layer = attention(cross=True, qk_norm=True)
    x, source, mask = torch.randn(B, T, C), torch.randn(B, T, C), torch.ones(B, 1, 1, T, dtype=torch.bool)

    def read(first_target: int, first_source: int) -> Tensor:
        at_target, at_source = (
            rotary_tables(torch.arange(T) + first, D, 100.0) for first in (first_target, first_source)
        )
        memory = Memory(mask, [layer.keys_values(source, at_source)])
        return layer(x, AttentionContext(at_target, memory=memory))

    torch.testing.assert_close(read(0, 0), read(30, 30), atol=1e-5, rtol=1e-5)
    assert not torch.isclose(read(0, 0), read(30, 0), atol=1e-5).all()


@pytest.mark.parametrize("eps", [None, 1e-2])
@pytest.mark.parametrize("factor", [1.0, 1.3])  # of yarn, on cosines and sines
@pytest.mark.parametrize("packed", [False, True])
def test_rotated_heads_and_their_gradients_equal_the_plain_formula(
    packed: bool, factor: float, eps: float | None
) -> None:
    positions = torch.arange(T) if not packed else torch.stack((torch.arange(T), torch.arange(T) + 3))
    cos, sin = (factor * table.double() for table in rotary_tables(positions, D, 100.0))
    x = torch.randn(B, T, 8, D, dtype=torch.float64, requires_grad=True)  # 4 queries, 2 keys, 2 values

    def fast(x: Tensor) -> tuple[Tensor, ...]:
        return RotatedHeads.apply(x, 2, cos, sin, eps)

    def plain(x: Tensor) -> tuple[Tensor, ...]:
        q, k, v = (part.transpose(1, 2) for part in x.split((4, 2, 2), dim=2))
        if eps is not None:
            q, k = (F.rms_norm(part, (D,), eps=eps) for part in (q, k))
        return rotate(q, cos, sin), rotate(k, cos, sin), v

    torch.testing.assert_close(fast(x), plain(x))
    assert torch.autograd.gradcheck(fast, (x,))
