import math
from typing import Any, get_args

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from groundup.errors import BadInput
from groundup.nn.config import PRESETS, ModelConfig, ModelParams, Pooling
from groundup.nn.decoder import Decoder, SequenceClassifier
from tests.tiny import model_config, random_decoder

VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("gpt2", {}),
    ("modern", {}),
    ("modern", {"activation": "swiglu"}),
    ("modern", {"ngram_rows": 0, "qk_norm": False, "n_kv_head": 1}),
]


def test_gpt2_small_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        model = Decoder(ModelParams("gpt2", 1024, 12, 12, 12, 768, 0.0, 0, 0, ()).config(50_257))
    assert sum(p.numel() for p in model.parameters()) == 124_439_808


def test_parameters_of_the_modern_preset_counted_by_hand() -> None:
    block = 16 * (16 + 8 + 8) + 16 * 16 + 2 * 16 * 64  # q, k, v; projection; feed-forward
    shift = 16
    ngrams = 2 * 23 * 6 + 2 * 6 * 16  # two tables of 23 rows; projection
    total = 2 * block + 2 * 11 * 16 + ngrams + shift
    assert sum(p.numel() for p in Decoder(model_config()).parameters()) == total


@torch.no_grad()
def test_token_shift_adds_a_share_of_the_previous_embedding() -> None:
    model = random_decoder(n_layer=1, ngram_rows=0)
    assert model.shift is not None
    seen: list[torch.Tensor] = []
    model.drop.register_forward_hook(lambda module, args, output: seen.append(output))
    model(torch.tensor([[3, 5, 5]]))
    embedding = model.wte.weight
    expected = [
        embedding[3],
        embedding[5] + model.shift * embedding[3],
        embedding[5] + model.shift * embedding[5],
    ]
    torch.testing.assert_close(seen[0][0], torch.stack(expected))


def test_swiglu_has_as_many_parameters_as_the_other_activations() -> None:
    sizes = [
        sum(p.numel() for p in Decoder(model_config(n_embd=24, activation=kind)).parameters())
        for kind in ("gelu", "swiglu")
    ]
    assert sizes[0] == sizes[1]


@torch.no_grad()
def test_a_random_gpt2_knows_next_to_nothing() -> None:
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
    """The pre-norm residual stream of GPT-2, from its description, with torch's own attention module."""
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
def test_gpt2_written_out() -> None:
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
    prompts = [5, 2, 7]  # read at once, padded on the right; then a token at a time
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
def test_a_chunk_behind_a_cache_equals_one_pass() -> None:
    model = random_decoder()
    idx = torch.randint(11, (2, 10))
    cache = model.empty_cache(2, 10)
    first = model(idx[:, :4], cache)
    cache.lengths += 4
    second = model(idx[:, 4:], cache)
    torch.testing.assert_close(torch.cat((first, second), dim=1), model(idx), atol=1e-5, rtol=1e-4)


def test_ngram_rows_by_hand() -> None:
    model = Decoder(model_config(vocab_size=11, ngram_rows=23, ngram_orders=(2, 3)))
    assert model.ngrams is not None

    def row(i: int, *tokens: int) -> int:
        code = 0
        for token in tokens:
            code = (code * 1_000_003 + token + 1) % 2_147_483_647
        return code % 23 + i * 23

    start = 11  # stands before the first token
    padded = torch.tensor([[start, start, 4, 9, 4]])
    expected = [
        [row(0, start, 4), row(1, start, start, 4)],
        [row(0, 4, 9), row(1, start, 4, 9)],
        [row(0, 9, 4), row(1, 4, 9, 4)],
    ]
    assert model.ngrams.buckets(padded)[0].tolist() == expected
    with torch.no_grad():
        vectors = model.ngrams(padded)[0]
        for found, (bigram, trigram) in zip(vectors, expected, strict=True):
            beside = torch.cat([model.ngrams.table.weight[row] for row in (bigram, trigram)])  # (12,)
            torch.testing.assert_close(found, model.ngrams.c_ngram.weight @ beside)


@pytest.mark.parametrize("cached", [False, True])
def test_more_positions_than_the_context_holds(cached: bool) -> None:
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


@pytest.mark.parametrize("pooling", get_args(Pooling))
@torch.no_grad()
def test_a_classifier_ignores_padding(pooling: Pooling) -> None:
    model = SequenceClassifier(random_decoder(), 3, pooling)
    assert torch.equal(
        model(torch.tensor([[1, 2]]), torch.tensor([2])), torch.zeros(1, 3)
    )  # starts undecided
    nn.init.normal_(model.score.weight)
    text = torch.tensor([5, 7, 2])
    x = model.decoder(text[None])[0]
    vector = {"last": x[-1], "mean": x.mean(dim=0), "max": x.max(dim=0).values}[pooling]
    expected = vector @ model.score.weight.T + model.score.bias
    for padding in (0, 9):
        idx = torch.full((2, 6), padding)
        idx[0, :3] = text
        found = model(idx, torch.tensor([3, 6]))
        torch.testing.assert_close(found[0], expected, atol=1e-5, rtol=1e-4)


def test_dropout_is_on_in_training_only() -> None:
    model = random_decoder(dropout=0.5)
    idx = torch.randint(11, (2, 8))
    assert torch.equal(model(idx), model(idx))
    model.train()
    assert not torch.equal(model(idx), model(idx))


def test_every_preset_names_the_same_settings() -> None:
    assert PRESETS["gpt2"].keys() == PRESETS["modern"].keys() <= ModelConfig.__dataclass_fields__.keys()
