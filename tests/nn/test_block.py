import math

import pytest
import torch
import torch.nn.functional as F

from groundup.nn.attention import AttentionContext
from groundup.nn.block import Block, FusedRMSNorm, SquaredReLU, SwiGLU, activate
from tests.tiny import model_config


def test_activations_by_hand() -> None:
    x = torch.tensor([-1.0, 0.0, 2.0])
    exact = [0.5 * v * (1 + math.erf(v / math.sqrt(2))) for v in x.tolist()]
    tanh = [0.5 * v * (1 + math.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3))) for v in x.tolist()]
    assert activate(x, "relu").tolist() == [0, 0, 2]
    assert activate(x, "relu2").tolist() == [0, 0, 4]
    assert activate(x, "gelu_erf").tolist() == pytest.approx(exact, abs=1e-6)
    assert activate(x, "gelu").tolist() == pytest.approx(tanh, abs=1e-6)
    gated = activate(torch.tensor([3.0, 5.0]), "swiglu").tolist()  # silu(3) gates 5
    assert gated == pytest.approx([5 * 3 / (1 + math.exp(-3))])


@torch.no_grad()
def test_the_output_of_a_post_norm_block_has_mean_0_and_variance_1() -> None:
    block, x = Block(model_config("transformer"), layer=0), 5 + 3 * torch.randn(2, 4, 16)
    y = block(x, AttentionContext(None))
    torch.testing.assert_close(y.mean(dim=-1), torch.zeros(2, 4), atol=1e-5, rtol=0)
    torch.testing.assert_close(y.var(dim=-1, unbiased=False), torch.ones(2, 4), atol=1e-3, rtol=0)


@torch.no_grad()
def test_a_pre_norm_block_with_zero_projections_is_the_identity() -> None:
    block, x = Block(model_config("modern"), layer=0), torch.randn(2, 4, 16)
    for projection in (block.attn.c_proj, block.mlp.c_proj):
        projection.weight.zero_()
    assert torch.equal(block(x, AttentionContext(None)), x)


@pytest.mark.parametrize("gain", [False, True])
def test_rms_norm_and_its_gradients_equal_those_of_torch(gain: bool) -> None:
    x, weight = (torch.randn(*shape, 8, dtype=torch.float64, requires_grad=True) for shape in ((3, 5), ()))
    if gain:
        torch.testing.assert_close(FusedRMSNorm.apply(x, weight, 1e-2), F.rms_norm(x, (8,), weight, 1e-2))
        assert torch.autograd.gradcheck(lambda x, weight: FusedRMSNorm.apply(x, weight, 1e-2), (x, weight))
    else:
        torch.testing.assert_close(FusedRMSNorm.apply(x, None, 1e-2), F.rms_norm(x, (8,), None, 1e-2))
        assert torch.autograd.gradcheck(lambda x: FusedRMSNorm.apply(x, None, 1e-2), (x,))


@pytest.mark.parametrize("function", [SquaredReLU, SwiGLU])
def test_gradients_of_activations_equal_finite_differences(function: type[torch.autograd.Function]) -> None:
    assert torch.autograd.gradcheck(
        function.apply, (torch.randn(3, 8, dtype=torch.float64, requires_grad=True),)
    )
