from dataclasses import replace

import pytest
import torch
from torch import nn

from groundup.errors import BadInput
from groundup.nn.config import LoRAConfig
from groundup.nn.lora import (
    LoRALinear,
    adapter_weights,
    adapters,
    add_adapters,
    merge,
    merge_and_unload,
    scale_adapters,
    unmerge,
)
from tests.tiny import random_decoder

CONFIG = LoRAConfig(rank=2, alpha=4.0, dropout=0.0, targets=("c_attn", "c_fc"))


def with_adapters(config: LoRAConfig = CONFIG) -> nn.Module:
    """A decoder whose adapters are no longer zero."""
    model = random_decoder("gpt2")
    add_adapters(model, config)
    with torch.no_grad():
        for layer in adapters(model):
            layer.lora_b.normal_(std=0.1)
    return model


@torch.no_grad()
def test_a_layer_by_hand() -> None:
    base = nn.Linear(2, 1)
    base.weight.copy_(torch.tensor([[1.0, 2.0]]))
    base.bias.fill_(0.5)
    layer = LoRALinear(base, rank=1, alpha=3.0, dropout=0.0)
    layer.lora_a.copy_(torch.tensor([[1.0, -1.0]]))
    layer.lora_b.fill_(2.0)
    x = torch.tensor([3.0, 1.0])
    assert layer(x).item() == pytest.approx(3 + 2 + 0.5 + 3 * 2 * (3 - 1))


def test_a_new_adapter_changes_nothing_and_only_adapters_learn() -> None:
    model, idx = random_decoder("gpt2"), torch.randint(11, (2, 7))
    before = model.logits(model(idx))
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    names = add_adapters(model, CONFIG)
    assert names == [f"h.{n}.{part}" for n in (0, 1) for part in ("attn.c_attn", "mlp.c_fc")]
    assert torch.equal(model.logits(model(idx)), before)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
    for _ in range(2):
        optimizer.zero_grad()
        model.logits(model(idx)).square().sum().backward()
        optimizer.step()
    assert {name for name, p in model.named_parameters() if p.requires_grad} == adapter_weights(model).keys()
    for name, tensor in model.state_dict().items():
        assert name.endswith(("lora_a", "lora_b")) or torch.equal(tensor, weights[name]), name
    assert all(layer.lora_b.abs().max() > 0 for layer in adapters(model))


@torch.no_grad()
def test_scaled_adapters_add_so_much_of_what_they_added() -> None:
    torch.manual_seed(0)
    layer, x = LoRALinear(nn.Linear(6, 4), rank=2, alpha=4.0, dropout=0.0), torch.randn(3, 6)
    nn.init.normal_(layer.lora_b)
    before, base = layer(x), nn.functional.linear(x, layer.weight, layer.bias)
    scale_adapters(layer, 0.25)
    torch.testing.assert_close(layer(x) - base, 0.25 * (before - base))


def test_merging_keeps_the_outputs_and_can_be_undone() -> None:
    model, idx = with_adapters(), torch.randint(11, (2, 7))
    unmerged, weights = model.logits(model(idx)), [layer.weight.clone() for layer in adapters(model)]
    merge(model)
    merge(model)  # once is enough
    torch.testing.assert_close(model.logits(model(idx)), unmerged, atol=1e-5, rtol=1e-5)
    assert not any(torch.equal(layer.weight, w) for layer, w in zip(adapters(model), weights, strict=True))
    unmerge(model)
    for layer, weight in zip(adapters(model), weights, strict=True):
        torch.testing.assert_close(layer.weight, weight, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("targets", [(), ("c_attn", "q_proj")])
def test_refuses_targets_that_the_model_lacks(targets: tuple[str, ...]) -> None:
    with pytest.raises(BadInput, match="linear layers are called c_attn, c_fc, c_proj"):
        add_adapters(random_decoder("gpt2"), LoRAConfig(2, 4.0, 0.0, targets))


@torch.no_grad()
def test_merged_and_unloaded_adapters_leave_plain_layers_with_the_same_outputs() -> None:
    model = with_adapters()
    idx = torch.randint(model.config.vocab_size, (2, 5))
    expected, names = (
        model(idx),
        {name for name, _ in model.named_parameters()} - adapter_weights(model).keys(),
    )
    merge_and_unload(model)
    torch.testing.assert_close(model(idx), expected, rtol=1e-4, atol=1e-5)
    assert not adapters(model)
    assert {name for name, _ in model.named_parameters()} == names


def test_the_output_head_gets_no_adapter() -> None:
    with pytest.raises(
        BadInput, match=r"lora\.targets names lm_head; the model's linear layers are called c_attn"
    ):
        add_adapters(random_decoder("gpt2"), replace(CONFIG, targets=("lm_head",)))
