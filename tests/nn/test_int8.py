"""Linear layers in 8-bit integers; the oracle is the same layer computed from its definition, in float64."""

import pytest
import torch
from torch import Tensor, nn

from groundup.generation.batcher import Batcher
from groundup.generation.decoding import generate
from groundup.generation.sampling import Sampling
from groundup.nn.half_precision import supported
from groundup.nn.int8 import LEVELS, Int8Linear, input_levels, to_int8_linear
from tests.tiny import random_decoder

pytestmark = pytest.mark.skipif(not supported(), reason="this processor has no kernel for 8-bit weights")


def rounded(x: Tensor, levels: int) -> Tensor:
    scale = x.abs().amax(dim=-1, keepdim=True).clamp(min=1e-30) / levels
    return (x / scale).round() * scale


@pytest.mark.parametrize("shape", [(1, 48), (1, 1, 48), (3, 7, 48), (70, 48)])
@pytest.mark.parametrize("bias", [True, False])
@torch.inference_mode()
def test_a_layer_equals_one_with_rounded_weights_and_inputs(shape: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(1)
    layer, x = nn.Linear(48, 80, bias=bias), torch.randn(shape)
    y = rounded(x.double(), input_levels()) @ rounded(layer.weight.double(), LEVELS).T
    expected = y if layer.bias is None else y + layer.bias
    # a tie may be rounded either way, which moves one of 48 products by a step of the input or of the weight
    steps = float(x.abs().max() * layer.weight.abs().max()) * (1 / input_levels() + 1 / LEVELS)
    torch.testing.assert_close(Int8Linear(layer)(x), expected.float(), rtol=1e-3, atol=steps)


@torch.inference_mode()
def test_a_row_does_not_depend_on_the_others() -> None:
    layer, x = Int8Linear(nn.Linear(96, 200)), torch.randn(33, 96) * torch.logspace(-3, 3, 33)[:, None]
    together = layer(x)
    for n in (1, 2, 5, 16):
        assert torch.equal(layer(x[:n]), together[:n])


@torch.inference_mode()
def test_large_values_do_not_overflow() -> None:
    layer = nn.Linear(512, 3, bias=False)
    layer.weight.fill_(2.0)
    x = torch.tensor([1.0, -1.0, 1e30, 0.0])[:, None].expand(4, 512)
    torch.testing.assert_close(Int8Linear(layer)(x), (x @ layer.weight.T))


@pytest.mark.parametrize("preset", ["gpt2", "modern", "llama"])
@torch.inference_mode()
def test_a_model_in_int8_has_nearly_the_same_logits(preset: str) -> None:
    model = random_decoder(preset)
    idx = torch.randint(0, model.config.vocab_size, (2, 9))
    before = model.logits(model(idx))
    after = to_int8_linear(model).logits(model(idx))
    assert 0 < (after - before).norm() / before.norm() < 0.06
    assert not any(isinstance(module, nn.Linear) for module in model.modules())


@torch.inference_mode()
def test_a_batch_gives_the_tokens_of_one_alone() -> None:
    model = to_int8_linear(random_decoder("llama", context_length=40))
    prompts = [[1 + i % 9] * (1 + 3 * i % 17) for i in range(12)]
    batcher = Batcher(model, max_running=5, chunk=4)
    found: dict[int, list[int]] = {}
    for i, prompt in enumerate(prompts):
        batcher.submit(prompt, max_new_tokens=9, sampling=Sampling(1.0, seed=i), stop_ids=[])
    while len(batcher):
        for event in batcher.step():
            if event.token is not None:
                found.setdefault(event.request, []).append(event.token)
    for i, prompt in enumerate(prompts):
        alone = Sampling(1.0, seed=i)
        assert generate(model, [prompt], max_new_tokens=9, sampling=alone, stop_ids=[]) == [found[i]]


@pytest.mark.parametrize("preset", ["gpt2", "modern", "llama"])
@torch.inference_mode()
def test_a_row_of_a_cached_batch_equals_the_row_alone_bit_for_bit(preset: str) -> None:
    model = to_int8_linear(random_decoder(preset, context_length=99, n_embd=64))
    prompts = [torch.randint(11, (1, n)) for n in (3, 70, 17, 34, 1, 64)]
    batch, found = model.empty_cache(6, 99), []
    for row, prompt in enumerate(prompts):
        model(prompt, batch.rows(row, row + 1))
        batch.lengths[row] = prompt.shape[1]
    for step in range(5):
        found.append(model(torch.full((6, 1), step), batch))
        batch.lengths += 1
    for row, prompt in enumerate(prompts):
        cache = model.empty_cache(1, prompt.shape[1] + 5)
        model(prompt, cache)
        cache.lengths += prompt.shape[1]
        for step in range(5):
            assert torch.equal(model(torch.full((1, 1), step), cache)[0], found[step][row])
            cache.lengths += 1


@torch.inference_mode()
def test_a_weight_that_is_not_finite_stays() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    model[1].weight[0, 0] = torch.inf
    to_int8_linear(model)
    assert isinstance(model[0], Int8Linear) and isinstance(model[1], nn.Linear)
