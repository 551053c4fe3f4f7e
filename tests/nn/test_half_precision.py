"""Half precision; the oracle is the same layer computed with weights rounded to float16."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from groundup.generation.decoding import generate
from groundup.generation.sampling import Sampling
from groundup.nn.half_precision import LARGEST, HalfLinear, supported, to_half_linear
from tests.tiny import random_decoder

pytestmark = pytest.mark.skipif(not supported(), reason="this processor has no kernel for float16 weights")


@pytest.mark.parametrize("shape", [(1, 48), (1, 1, 48), (3, 7, 48), (2, 48)])
@pytest.mark.parametrize("bias", [True, False])
@torch.inference_mode()
def test_a_layer_equals_one_with_rounded_weights(shape: tuple[int, ...], bias: bool) -> None:
    layer, x = nn.Linear(48, 80, bias=bias), torch.randn(shape)
    expected = F.linear(x, layer.weight.half().float(), layer.bias)
    torch.testing.assert_close(HalfLinear(layer)(x), expected, rtol=1e-5, atol=1e-5)


@torch.inference_mode()
def test_a_transposed_input_gives_the_same_result() -> None:
    layer, x = nn.Linear(48, 80), torch.randn(48, 5).T
    torch.testing.assert_close(HalfLinear(layer)(x), HalfLinear(layer)(x.contiguous()))


@pytest.mark.parametrize("preset", ["gpt2", "llama"])
@torch.inference_mode()
def test_a_model_in_half_precision_has_nearly_the_same_logits(preset: str) -> None:
    model = random_decoder(preset)
    idx = torch.randint(0, model.config.vocab_size, (2, 9))
    before = model.logits(model(idx))
    table = model.wte.weight.clone()
    after = to_half_linear(model).logits(model(idx))
    assert 0 < (after - before).norm() / before.norm() < 2e-3
    assert not any(isinstance(module, nn.Linear) for module in model.modules())
    # the token table stays float32 even if the head is tied to it
    torch.testing.assert_close(model.wte.weight, table, rtol=0, atol=0)
    new = generate(model, [[1, 2], [3]], max_new_tokens=5, sampling=Sampling(), stop_ids=[])
    assert [len(row) for row in new] == [5, 5]


@torch.inference_mode()
def test_a_weight_beyond_float16_stays() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    model[1].weight[0, 0] = LARGEST * 2
    to_half_linear(model)
    assert isinstance(model[0], HalfLinear) and isinstance(model[1], nn.Linear)
