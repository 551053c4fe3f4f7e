"""A dry run: one training step of the real model, objective and optimizers on tensors without data.

torch's fake tensors have shapes, and only its kernels for the device "meta" run, so a model of any size takes seconds
and no memory. Every tensor that exists is counted from its first to its last reference.
"""

import weakref
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from groundup.nn.config import ModelConfig, ModelParams
from groundup.planning.scaling import Size, rates
from groundup.training.config import MuonConfig

if TYPE_CHECKING:
    from groundup.training.config import OptimizerConfig


@dataclass(frozen=True)
class DryRun:
    """What a training step takes on one device.

    Attributes:
        parameters: number of weights.
        weights: bytes of weights; gradients have as many.
        states: bytes of the optimizers' states.
        activations: bytes besides weights, gradients and states at the peak: what the forward pass keeps for the
            backward pass, and temporary tensors.
        peak: all bytes at the peak.
        flops: floating-point operations of the matrix products; 0 if activations are recomputed: torch's counter would
            keep them.
    """

    parameters: int
    weights: int
    states: int
    activations: int
    peak: int
    flops: int


def dry_run(
    config: ModelConfig,
    optimizer: "OptimizerConfig",
    rows: int,
    *,
    recompute: bool = False,
    bfloat16: bool = True,
) -> DryRun:
    """Run a step without data; gradients and states of earlier steps are there, as in a micro-batch in the middle.

    Args:
        config: of the decoder.
        optimizer: of the training.
        rows: windows of the micro-batch.
        recompute: activation checkpointing.
        bfloat16: matrix products in bfloat16.
    """
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode

    from groundup.nn.block import Block
    from groundup.nn.decoder import Decoder
    from groundup.training.devices import flop_counter
    from groundup.training.objectives import Batch, causal_lm
    from groundup.training.optimizers import make_optimizers

    precision = torch.autocast("cpu", torch.bfloat16, enabled=bfloat16)
    with FakeTensorMode(), _tensors() as living:
        decoder = Decoder(config)
        for module in decoder.modules():
            if isinstance(module, Block):
                module.recompute = recompute
        weights = sum(p.numel() * p.element_size() for p in decoder.parameters())
        optimizers = make_optimizers(decoder, optimizer, torch.bfloat16 if bfloat16 else None)
        idx = torch.zeros(rows, config.context_length, dtype=torch.long)
        for p in decoder.parameters():
            p.grad = torch.zeros_like(p)
        before = living.now
        for one in optimizers:
            one.step()
        states = living.now - before
        living.peak = living.now
        counter = None if recompute else flop_counter()
        with counter or nullcontext():
            with precision:
                loss, count = causal_lm(decoder, Batch(idx, idx))
            (loss / count).backward()
        peak = living.peak
        flops = counter.get_total_flops() if counter else 0
    number = sum(p.numel() for p in decoder.parameters())
    return DryRun(number, weights, states, peak - 2 * weights - states, peak, flops)


def model_of(size: Size) -> tuple[ModelConfig, MuonConfig]:
    """Return the model and the optimizer of a size, as params.yaml would give them."""
    params = ModelParams("modern", size.context_length, size.depth, size.heads, size.heads, size.width, 0.0)
    optimizer = MuonConfig(
        kind="muon",
        **rates("pretrain", size),
        warmup_steps=0,
        decay=None,
        weight_decay=0.0,
        betas=(0.8, 0.95),
        momentum=0.95,
        newton_schulz_steps=2,
    )
    return params.config(size.vocab_size), optimizer


def _tensors() -> Any:
    """Return a mode that counts the bytes of living tensors, and answers questions about their values."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_iter

    class Living(TorchDispatchMode):
        def __init__(self) -> None:
            super().__init__()
            self.now = self.peak = 0
            self.sizes: dict[int, int] = {}

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if (
                func is torch.ops.aten._local_scalar_dense.default
            ):  # all targets are tokens; the loss is a mean
                return True if args[0].dtype == torch.bool else 1.0
            out = func(*args, **(kwargs or {}))
            for tensor in tree_iter(out):
                if isinstance(tensor, torch.Tensor) and tensor.device.type != "meta":
                    self._count(tensor.untyped_storage())
            return out

        def _count(self, storage: Any) -> None:
            key = storage._cdata
            if key not in self.sizes:
                self.sizes[key] = storage.nbytes()
                self.now += self.sizes[key]
                self.peak = max(self.peak, self.now)
                weakref.finalize(storage, self._forget, key)

        def _forget(self, key: int) -> None:
            self.now -= self.sizes.pop(key)

    return Living()
