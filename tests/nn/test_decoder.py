import math
from dataclasses import MISSING, fields
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from groundup.errors import BadInput
from groundup.nn.config import ModelConfig, RopeScaling
from groundup.nn.decoder import Decoder
from tests.tiny import model_config, model_params, random_decoder

VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("gpt2", {}),
    ("modern", {}),
    ("modern", {"activation": "swiglu"}),
    ("modern", {"ngram_rows": 0, "qk_norm": False, "n_kv_head": 1}),
    ("transformer", {}),
    ("gpt2", {"norm_first": False, "embedding_norm": True, "activation": "gelu_erf"}),
    (
        "llama",
        {"rope_base": 500.0, "rope_scaling": RopeScaling("linear", 2.0), "norm_eps": 0.1, "n_inner": 40},
    ),
]
OTHER_MODELS = {"causal", "n_encoder_layer", "n_segments", "pooler"}  # fields that no decoder sets


def test_every_option_is_on_in_a_variant() -> None:
    configs = [model_config(preset, **changes) for preset, changes in VARIANTS]
    options = {field.name: field.default for field in fields(ModelConfig) if field.default is not MISSING}
    assert {
        name for name, off in options.items() if all(getattr(each, name) == off for each in configs)
    } == OTHER_MODELS


def test_gpt2_small_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        params = model_params(
            preset="gpt2", context_length=1024, n_layer=12, n_head=12, n_kv_head=12, n_embd=768
        )
        model = Decoder(params.config(50_257))
    assert sum(p.numel() for p in model.parameters()) == 124_439_808


def test_parameters_of_the_modern_preset_counted_by_hand() -> None:
    block = 16 * (16 + 8 + 8) + 16 * 16 + 2 * 16 * 64  # q, k, v; projection; feed-forward
    shift = 16
    ngrams = 300 * 6 + 2 * 6 * 16  # table; projection of two orders
    total = 2 * block + 2 * 11 * 16 + ngrams + shift
    assert sum(p.numel() for p in Decoder(model_config()).parameters()) == total


def test_swiglu_has_as_many_parameters_as_the_other_activations() -> None:
    sizes = [
        sum(p.numel() for p in Decoder(model_config(n_embd=24, activation=kind)).parameters())
        for kind in ("gelu", "swiglu")
    ]
    assert sizes[0] == sizes[1]


@torch.no_grad()
def test_an_untrained_gpt2_predicts_nearly_uniformly() -> None:
    torch.manual_seed(1)
    model = Decoder(model_config("gpt2", vocab_size=500, n_embd=64, context_length=64)).eval()
    idx = torch.randint(500, (4, 64))
    loss = F.cross_entropy(model.logits(model(idx)).flatten(0, 1), torch.randint(500, (256,)))
    assert float(loss) == pytest.approx(math.log(500), abs=0.1)


@torch.no_grad()
def test_zero_init_predicts_uniformly() -> None:
    model = Decoder(model_config())
    assert model.config.zero_init
    assert torch.equal(model.logits(model(torch.tensor([[1, 2, 3]]))), torch.zeros(1, 3, 11))


def reference_forward(model: Decoder, tokens: list[int]) -> torch.Tensor:
    """GPT-2 written from its description, with torch's own attention module."""
    config, T = model.config, len(tokens)
    x = model.wte.weight[tokens]
    assert model.wpe is not None
    x = x + model.wpe.weight[:T]
    future = torch.ones(T, T, dtype=torch.bool).triu(1)
    for block in model.h:
        attention = nn.MultiheadAttention(config.n_embd, config.n_head, batch_first=True)
        attention.in_proj_weight.copy_(block.attn.c_attn.weight)
        attention.in_proj_bias.copy_(block.attn.c_attn.bias)
        attention.out_proj.load_state_dict(block.attn.c_proj.state_dict())
        h = F.layer_norm(x, (config.n_embd,), block.ln_1.weight, block.ln_1.bias)
        x = x + attention(h[None], h[None], h[None], attn_mask=future)[0][0]
        h = F.layer_norm(x, (config.n_embd,), block.ln_2.weight, block.ln_2.bias) @ block.mlp.c_fc.weight.T
        h = h + block.mlp.c_fc.bias
        h = 0.5 * h * (1 + torch.tanh(math.sqrt(2 / math.pi) * (h + 0.044715 * h**3)))
        x = x + h @ block.mlp.c_proj.weight.T + block.mlp.c_proj.bias
    x = F.layer_norm(x, (config.n_embd,), model.ln_f.weight, model.ln_f.bias)
    return x @ model.wte.weight.T


@torch.no_grad()
def test_gpt2_equals_its_description() -> None:
    model, tokens = random_decoder("gpt2"), [3, 1, 4, 1, 5]
    found = model.logits(model(torch.tensor([tokens])))[0]
    torch.testing.assert_close(found, reference_forward(model, tokens), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("preset", "changes"), VARIANTS)
@torch.no_grad()
def test_the_future_does_not_leak(preset: str, changes: dict[str, Any]) -> None:
    model = random_decoder(preset, **changes)
    idx = torch.randint(11, (2, 8))
    before = model(idx)
    for t in range(7):
        changed = idx.clone()
        changed[:, t + 1 :] = (changed[:, t + 1 :] + 1) % 11
        assert torch.equal(model(changed)[:, : t + 1], before[:, : t + 1])


@pytest.mark.parametrize(("preset", "changes"), VARIANTS)
@torch.no_grad()
def test_cached_rows_of_different_lengths_equal_each_row_alone(preset: str, changes: dict[str, Any]) -> None:
    model = random_decoder(preset, **changes)
    rows = [torch.randint(11, (n,)) for n in (9, 6, 11)]
    alone = [model(row[None])[0] for row in rows]
    prompts = [5, 2, 7]  # processed at once, padded on the right; then one token at a time
    cache = model.empty_cache(3, 12)
    idx = torch.zeros(3, 7, dtype=torch.long)
    for b, n in enumerate(prompts):
        idx[b, :n] = rows[b][:n]
    x = model(idx, cache)
    for b, n in enumerate(prompts):
        torch.testing.assert_close(x[b, :n], alone[b][:n], atol=1e-5, rtol=1e-4)
    cache.lengths += torch.tensor(prompts)
    for step in range(4):
        x = model(torch.stack([rows[b][n + step : n + step + 1] for b, n in enumerate(prompts)]), cache)
        for b, n in enumerate(prompts):
            torch.testing.assert_close(x[b, 0], alone[b][n + step], atol=1e-5, rtol=1e-4)
        cache.lengths += 1


@torch.no_grad()
def test_a_chunk_after_a_cache_equals_one_pass() -> None:
    model = random_decoder()
    idx = torch.randint(11, (2, 10))
    cache = model.empty_cache(2, 10)
    first = model(idx[:, :4], cache)
    cache.lengths += 4
    second = model(idx[:, 4:], cache)
    torch.testing.assert_close(torch.cat((first, second), dim=1), model(idx), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("cached", [False, True])
def test_refuses_more_positions_than_the_context_holds(cached: bool) -> None:
    model = random_decoder()
    cache = model.empty_cache(1, 12) if cached else None
    if cache is not None:
        cache.lengths += 12
    with pytest.raises(BadInput, match="13 tokens; the model reads at most 12"):
        model(torch.zeros(1, 1 if cached else 13, dtype=torch.long), cache)


@pytest.mark.parametrize(("preset", "changes"), VARIANTS)
def test_bfloat16_matrix_products_stay_close(preset: str, changes: dict[str, Any]) -> None:
    model = random_decoder(preset, **changes)
    idx = torch.randint(11, (2, 8))
    with torch.no_grad():
        exact = model(idx)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = model(idx)
    assert float((rounded.float() - exact).abs().mean() / exact.abs().mean()) < 0.05


def test_dropout_is_on_only_in_training() -> None:
    model = random_decoder(dropout=0.5)
    idx = torch.randint(11, (2, 8))
    assert torch.equal(model(idx), model(idx))
    model.train()
    assert not torch.equal(model(idx), model(idx))


def test_refuses_to_see_the_future() -> None:
    with pytest.raises(BadInput, match="causal is false"):
        Decoder(model_config("bert"))
