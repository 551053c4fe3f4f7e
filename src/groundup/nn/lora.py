"""Low-rank adaptation (LoRA): weights are frozen, and the product of two thin matrices is added to each.

y = W x + (alpha / rank) B A x (Hu et al. 2021). A (rank, in) starts at random and B (out, rank) at zero, so
that the model starts unchanged. Only A and B are trained and saved. Once merged into W, they cost nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from groundup.errors import BadInput
from groundup.nn.config import LoRAConfig

ADAPTER = ("lora_a", "lora_b")


class LoRALinear(nn.Linear):
    """A linear layer with an adapter (LoRA).

    Its frozen weight is the tensor of the layer that it replaces, under the same name.
    """

    def __init__(self, base: nn.Linear, rank: int, alpha: float, dropout: float) -> None:
        super().__init__(base.in_features, base.out_features, base.bias is not None, device="meta")
        self.weight, self.bias = base.weight, base.bias
        self.lora_a = nn.Parameter(base.weight.new_empty(rank, base.in_features))
        self.lora_b = nn.Parameter(base.weight.new_zeros(base.out_features, rank))
        nn.init.kaiming_uniform_(self.lora_a, a=5**0.5)  # as a linear layer's own weights
        self.scale, self.merged, self.bypassed = alpha / rank, False, False
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer and its adapter: x (..., in) -> (..., out)."""
        y = F.linear(x, self.weight, self.bias)
        if self.merged or self.bypassed:
            return y
        return y + F.linear(F.linear(self.dropout(x), self.lora_a), self.lora_b) * self.scale

    @torch.no_grad()
    def merge(self) -> None:
        """Add the adapter to the weight. The outputs stay the same, and the layer is then as fast as a plain one."""
        if not self.merged:
            self.weight += self.lora_b @ self.lora_a * self.scale
            self.merged = True

    @torch.no_grad()
    def unmerge(self) -> None:
        """Subtract the adapter from the weight again.

        Because of rounding, the weight may differ from the original by a few units in the last place.
        """
        if self.merged:
            self.weight -= self.lora_b @ self.lora_a * self.scale
            self.merged = False


def add_adapters(model: nn.Module, config: LoRAConfig) -> list[str]:
    """Freeze a model and add an adapter to every linear layer whose last name is one of `config.targets`.

    The output head gets none: it may share its weight with the token table, and the losses use that weight
    without calling the layer.

    Returns:
        The full names of the layers that got an adapter.

    Raises:
        BadInput: `targets` is empty or names no linear layer; the message lists the valid names.
    """
    linear = {name: layer for name, layer in model.named_modules() if type(layer) is nn.Linear}
    linear.pop("lm_head", None)
    last = {name: name.rpartition(".")[2] for name in linear}
    unknown = sorted(set(config.targets) - set(last.values()))
    if unknown or not config.targets:
        raise BadInput(
            f"lora.targets names {', '.join(unknown) or 'no layer'}; the model's linear layers are called "
            f"{', '.join(sorted(set(last.values())))}: choose some of these."
        )
    model.requires_grad_(False)
    chosen = [name for name in linear if last[name] in config.targets]
    for name in chosen:
        parent, _, child = name.rpartition(".")
        layer = LoRALinear(linear[name], config.rank, config.alpha, config.dropout)
        setattr(model.get_submodule(parent), child, layer)
    return chosen


def adapter_weights(model: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of a model's adapters: name -> tensor, to be saved without the frozen weights."""
    return {name: p.detach() for name, p in model.named_parameters() if name.endswith(ADAPTER)}


@torch.no_grad()
def scale_adapters(model: nn.Module, factor: float) -> None:
    """Multiply by `factor` what each adapter adds to its layer's weight, which must not contain it yet."""
    for layer in adapters(model):
        assert not layer.merged
        layer.lora_b.mul_(factor)


def merge(model: nn.Module) -> None:
    """Merge all adapters of a model: add each to its layer's weight."""
    for layer in adapters(model):
        layer.merge()


def unmerge(model: nn.Module) -> None:
    """Undo `merge`, so that a model's adapters can be trained further."""
    for layer in adapters(model):
        layer.unmerge()


@contextmanager
def bypassed(model: nn.Module) -> Iterator[None]:
    """Return a context in which a model ignores its adapters, which must not be merged."""
    layers = adapters(model)
    assert not any(layer.merged for layer in layers)
    try:
        for layer in layers:
            layer.bypassed = True
        yield
    finally:
        for layer in layers:
            layer.bypassed = False


def merge_and_unload(model: nn.Module) -> None:
    """Merge all adapters of a model and remove them: its layers are plain again and may get new adapters."""
    merge(model)
    for name, layer in [*model.named_modules()]:
        if isinstance(layer, LoRALinear):
            plain = nn.Linear(layer.in_features, layer.out_features, layer.bias is not None, device="meta")
            plain.weight, plain.bias = layer.weight, layer.bias
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, plain)


def adapters(model: nn.Module) -> list[LoRALinear]:
    """Return all layers of a model that have an adapter."""
    return [layer for layer in model.modules() if isinstance(layer, LoRALinear)]
