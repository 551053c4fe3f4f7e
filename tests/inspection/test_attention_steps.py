import pytest
import torch

from groundup.errors import BadInput
from groundup.inspection.attention_steps import QueryAttention, query_attention, steps
from groundup.nn.attention import Trace
from groundup.nn.encoder import Encoder
from tests.tiny import model_config, random_decoder

IDX = torch.tensor([[3, 1, 4, 1, 5]])


def test_by_hand():
    found = QueryAttention(torch.tensor([1.0, 0, 0, 2]), torch.eye(4), torch.eye(4) * 10)
    assert found.products.tolist() == [1, 0, 0, 2]
    assert found.scores.tolist() == [0.5, 0, 0, 1]
    e = torch.tensor([0.5, 0, 0, 1]).exp()
    assert torch.allclose(found.weights, e / (e.sum()))
    assert torch.allclose(found.output, 10 * e / e.sum())


@pytest.mark.parametrize("preset", ["modern", "gpt2"])
def test_weights_and_output_equal_the_model_s(preset):
    """The projection of the heads' concatenated outputs is the output of the attention module."""
    model = random_decoder(preset)
    trace, outputs = Trace(), []
    handle = model.h[1].attn.register_forward_hook(lambda _m, _i, output: outputs.append(output))
    with torch.no_grad():
        model(IDX, trace=trace)
        handle.remove()
        for position in (0, 3, 4):
            heads = [query_attention(model, IDX, 1, head, position) for head in range(4)]
            for head, found in enumerate(heads):
                expected = trace.weights[1][0, head, position]
                assert torch.allclose(found.weights, expected[: position + 1], atol=1e-6)
            joined = model.h[1].attn.c_proj(torch.cat([found.output for found in heads]))
            assert torch.allclose(joined, outputs[0][0, position], atol=1e-5)
    assert not model.h[1].attn._forward_pre_hooks


def test_an_encoder_attends_to_later_tokens():
    model, trace = Encoder(model_config("bert")).eval(), Trace()
    with torch.no_grad():
        model(IDX, trace=trace)
    found = query_attention(model, IDX, 0, 2, 1)
    assert torch.allclose(found.weights, trace.weights[0][0, 2, 1], atol=1e-6) and len(found.weights) == 5


@pytest.mark.parametrize(("layer", "head"), [(2, 0), (0, 4), (-1, 0)])
def test_an_unknown_head(layer, head):
    with pytest.raises(BadInput, match=r"the model has 2 layers of 4 heads: change explain\.layer"):
        query_attention(random_decoder(), IDX, layer, head, 0)


def test_the_steps_are_consistent():
    table = steps(query_attention(random_decoder(), IDX, 0, 0, 2), ["a", " b", " c", " d", " e"])
    keys = table["keys"]
    assert [key["token"] for key in keys] == ["a", " b", " c"] and table["channels"] == 4
    assert sum(key["weight"] for key in keys) == pytest.approx(1)
    assert sum(key["exp"] for key in keys) == pytest.approx(table["exp"])
    for key in keys:
        assert key["score"] == pytest.approx(key["product"] / 2) and len(key["value"]) == 4
        assert key["weight"] == pytest.approx(key["exp"] / table["exp"])
        assert key["part"] == pytest.approx([key["weight"] * value for value in key["value"]])
    parts = [sum(column) for column in zip(*(key["part"] for key in keys), strict=True)]
    assert parts == pytest.approx(table["output"], abs=1e-6)
