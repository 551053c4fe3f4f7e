"""How the ranks of a training hold its model: whole on each of them (DDP), or divided among them (FSDP2).

- `ddp`: every rank has all weights, gradients and optimizer states, and the gradients are summed (Li et al. 2020,
  "PyTorch Distributed").
- `fsdp2`: every rank has its rows of each tensor. The weights of one block at a time are gathered when it runs, and
  gradients are summed where their rows are (Rajbhandari et al. 2020, "ZeRO"; torch's `fully_shard`). Of 16 bytes per
  parameter with AdamW, a rank of n has 16 / n.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import deepcopy
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from groundup.nn.block import Block
from groundup.training.config import ComputeConfig
from groundup.training.ranks import ranks_of_training, sum_over_ranks
from groundup.training.sharding import local, whole

Objective = Callable[
    [Any, Any], tuple[Tensor, Tensor]
]  # (model, batch) -> (sum of the loss, number of terms)


class Step(nn.Module):
    """A model with its objective as one module, because DDP and FSDP2 act where a module's `forward` is called."""

    def __init__(self, model: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.model, self.objective = model, objective

    def forward(self, batch: Any) -> tuple[Tensor, Tensor]:
        """Compute (sum of the loss, number of terms)."""
        return self.objective(self.model, batch)


class SpreadModel:
    """A model on the ranks of a training, or on the only one.

    Attributes:
        model: the caller's model, whole on every rank. Evaluations use it.
        trained: the model whose weights are updated: `model` itself or, with `fsdp2`, a divided copy.
        step: (batch) -> (sum of the loss, number of terms), computed with `trained`.
    """

    def __init__(self, model: nn.Module, objective: Objective, compute: ComputeConfig) -> None:
        """Spread a model; all ranks start with the weights of rank 0."""
        rank, self.ranks = ranks_of_training()
        self.model, self.device = model, next(model.parameters()).device
        self.is_divided = self.ranks > 1 and compute.distributed == "fsdp2"
        for module in model.modules():
            if isinstance(module, Block):
                module.recompute = compute.activation_checkpointing
        if self.ranks > 1:
            for tensor in model.state_dict().values():
                dist.broadcast(tensor, 0)
        if self.is_divided:
            model.to("cpu")  # until the next evaluation, so that no device holds the whole model
        self.trained = deepcopy(model) if self.is_divided else model
        runnable: Any = torch.compile(self.trained) if compute.compile else self.trained
        self.step: Any = Step(runnable, objective)
        if self.is_divided:
            _divide(self.step, self.device, self.ranks)
        # rank 0 alone evaluates; the others need no room on their device for it
        self._home = self.device if rank == 0 else torch.device("cpu")

    def start(self) -> None:
        """Let the backward pass sum the gradients; to be called once the optimizers have chosen which are sparse."""
        if self.ranks > 1 and not self.is_divided:
            # All parameters are used, as a rule. But without this setting DDP reorders the gradients after the first
            # step, which changes the order of their sums, and a resumed training would end with other bytes.
            self.step = nn.parallel.DistributedDataParallel(
                self.step, forward_sync_buffers=False, init_sync=False, find_unused_parameters=True
            )

    def summing(self, last: bool) -> AbstractContextManager[None]:
        """Return the context of a micro-batch: with DDP, only the `last` of a step sums gradients over the ranks.

        With FSDP2 each one does, because a rank has no room for gradients of the whole model.
        """
        if self.ranks == 1 or self.is_divided or last:
            return nullcontext()
        unsummed: AbstractContextManager[None] = self.step.no_sync()
        return unsummed

    @contextmanager
    def whole(self) -> Iterator[nn.Module]:
        """Yield `model` with the weights that are trained so far."""
        if not self.is_divided:
            yield self.model
            return
        own = dict(self.trained.named_parameters())
        for name, p in self.model.named_parameters():
            if p.requires_grad:
                p.detach().copy_(whole(local(own[name].detach()), own[name]))
        self.model.to(self._home)
        yield self.model
        self.model.to("cpu")

    def leave(self) -> None:
        """Put the trained weights into `model`, and `model` back on its device."""
        with self.whole():
            pass
        self.model.to(self.device)

    def norm(self, norm: Tensor) -> Tensor:
        """Return the norm of all gradients from that of the gradients which this rank has."""
        return sum_over_ranks(norm.square()).sqrt() if self.is_divided else norm


def _divide(step: nn.Module, device: torch.device, ranks: int) -> None:
    """Divide the parameters of a module among the ranks, in place: block by block, then all that is in no block."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device.type, (ranks,))
    for module in step.modules():
        if isinstance(module, Block):
            fully_shard(module, mesh=mesh)
    fully_shard(step, mesh=mesh)
