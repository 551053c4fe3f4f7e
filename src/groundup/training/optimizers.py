"""Optimizers, and the schedule of the learning rates, which depends only on the progress of the training."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from groundup.nn.ngrams import NgramEmbedding
from groundup.training.config import AdagradConfig, AdamRates, Decay, MuonConfig, OptimizerConfig, SGDConfig
from groundup.training.devices import has_sparse_gradients
from groundup.training.orthogonal import orthogonalise
from groundup.training.sharding import is_sharded, local, part_of, whole

Matrix = tuple[Tensor, dict[str, Any]]  # a weight matrix and its parameter group

# Adam's decay rate of the squared gradient for rows of n-gram tables: they are read rarely, so the mean must last long.
ROW_BETA = 0.999
BATCH = 2**22  # largest number of weights for which Muon has its temporary matrices in memory at once


def lr_scale(progress: float, warmup: float, decay: Decay | None) -> float:
    """Return the factor by which every learning rate is multiplied at this point of the training.

    It rises linearly from 0 to 1 during warm-up, stays at 1, then falls to `decay.min_lr_ratio`.

    Args:
        progress: share of the training that is over.
        warmup: share of the training that is warm-up.
        decay: the fall at the end, over the last `decay.share` of the training; None: there is none.
    """
    if progress < warmup:
        return progress / warmup
    if decay is None:
        return 1.0
    start = max(1 - decay.share, warmup)
    if progress <= start:
        return 1.0
    fallen = min((progress - start) / (1 - start), 1.0)
    height = 1 - fallen if decay.shape == "linear" else 0.5 * (1 + math.cos(math.pi * fallen))
    return decay.min_lr_ratio + (1 - decay.min_lr_ratio) * height


class Muon(torch.optim.Optimizer):
    """The optimizer Muon: momentum, made orthogonal, so that all directions of a matrix change equally.

    From Jordan et al. 2024, "Muon: an optimizer for hidden layers". In a group with `parts` > 1, each matrix is a
    stack of that many projections, which are made orthogonal separately.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float,
        momentum: float,
        steps: int,
        weight_decay: float,
        dtype: torch.dtype | None = None,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "steps": steps, "weight_decay": weight_decay, "parts": 1}
        super().__init__(params, defaults)
        self.dtype = dtype  # of the products of the iteration; None: that of the matrix

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient; `closure` is not called."""
        sides: dict[tuple[int, int], list[Matrix]] = defaultdict(list)
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    sides[min(p.shape[0] // group["parts"], p.shape[1]), group["steps"]].append((p, group))
        for (_, steps), matrices in sides.items():
            for batch in _batches(matrices):
                self._update(batch, steps)

    def _update(self, batch: list[Matrix], steps: int) -> None:
        """Update matrices whose projections have the same smaller side."""
        directions = orthogonalise([self._momentum(p, group) for p, group in batch], steps, self.dtype)
        for (p, group), direction in zip(batch, directions, strict=True):
            _, rows, columns = direction.shape
            scale = max(1.0, rows / columns) ** 0.5
            own = local(p)
            if group["weight_decay"]:
                own.mul_(1 - group["lr"] * group["weight_decay"])
            own.add_(part_of(direction.view(p.shape), p), alpha=-group["lr"] * scale)

    def _momentum(self, p: Tensor, group: dict[str, Any]) -> Tensor:
        """Add the gradient of a matrix to its momentum; return Nesterov's momentum, (parts, rows, columns).

        A matrix that is divided among ranks has to be made orthogonal as a whole, so each rank gathers its momentum.
        """
        if "momentum_buffer" not in self.state[p]:
            self.state[p]["momentum_buffer"] = torch.zeros_like(p)
        assert p.grad is not None
        gradient = local(p.grad)
        buffer = local(self.state[p]["momentum_buffer"]).lerp_(gradient, 1 - group["momentum"])
        return whole(gradient.lerp(buffer, group["momentum"]), p).view(group["parts"], -1, p.shape[1])


def _batches(matrices: list[Matrix]) -> Iterator[list[Matrix]]:
    """Split a list of matrices: many small ones at once save calls, few large ones at once save memory."""
    batch: list[Matrix] = []
    size = 0
    for p, group in matrices:
        if batch and size + p.numel() > BATCH:
            yield batch
            batch, size = [], 0
        batch.append((p, group))
        size += p.numel()
    yield batch


def stacked_projections(name: str, p: Tensor) -> int:
    """Return the number of projections stacked in a weight matrix, which Muon processes separately.

    `c_attn` has three (queries, keys and values), `c_kv` two (keys and values), any other matrix one. With
    grouped-query attention the parts of `c_attn` differ in size, so it counts as one.
    """
    if name.endswith("c_attn.weight") and p.shape[0] == 3 * p.shape[1]:
        return 3
    return 2 if name.endswith("c_kv.weight") else 1


def make_optimizers(
    model: nn.Module, config: OptimizerConfig, dtype: torch.dtype | None = None
) -> list[torch.optim.Optimizer]:
    """Make the optimizers of a training, one per update rule, for the parameters that require gradients.

    Every parameter group stores its learning rate after warm-up as `max_lr`, which `set_lr` scales. `dtype` is that of
    the products of Muon's iteration; None: that of the weights.
    """
    tables = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    ngrams = [m.table for m in model.modules() if isinstance(m, NgramEmbedding)]
    device = next(model.parameters()).device
    ngram_lr = config.ngram_lr if isinstance(config, AdamRates) else None
    divided = any(is_sharded(table.weight) for table in ngrams)
    by_row = ngram_lr is not None and has_sparse_gradients(device) and not divided
    for table in ngrams:
        table.sparse = by_row  # the gradient has only the rows that were read
    at_ngram_lr = {id(table.weight) for table in ngrams if ngram_lr is not None}
    matrices: dict[int, list[Tensor]] = defaultdict(list)  # by the number of stacked projections
    embeddings, ngram_tables, vectors, heads = [], [], [], []
    for name, p in model.named_parameters():
        if not p.requires_grad:
            continue
        if id(p) in at_ngram_lr:
            ngram_tables.append(p)
        elif id(p) in tables:
            embeddings.append(p)
        elif p.ndim < 2:
            vectors.append(p)
        elif name.endswith(("lm_head.weight", "score.weight")):
            heads.append(p)
        else:
            matrices[stacked_projections(name, p)].append(p)
    embedding_lr = config.max_lr if config.embedding_lr is None else config.embedding_lr
    head_lr = config.max_lr if config.head_lr is None else config.head_lr
    groups: list[dict[str, Any]] = [
        {"params": embeddings, "lr": embedding_lr, "weight_decay": config.weight_decay},
        {"params": heads, "lr": head_lr, "weight_decay": config.weight_decay},
        {"params": vectors, "lr": head_lr, "weight_decay": 0.0},
    ]
    optimizers: list[torch.optim.Optimizer] = []
    if isinstance(config, MuonConfig):
        if matrices:
            stacks = [{"params": group, "parts": parts} for parts, group in matrices.items()]
            optimizers.append(
                Muon(
                    stacks,
                    config.max_lr,
                    config.momentum,
                    config.newton_schulz_steps,
                    config.weight_decay,
                    dtype,
                )
            )
    else:
        flat = [p for group in matrices.values() for p in group]
        groups.append({"params": flat, "lr": config.max_lr, "weight_decay": config.weight_decay})
    if ngram_tables and not by_row:
        assert isinstance(config, AdamRates)
        betas = (config.betas[0], ROW_BETA)
        groups.append({"params": ngram_tables, "lr": ngram_lr, "weight_decay": 0.0, "betas": betas})
    groups = [group for group in groups if group["params"]]
    if groups:
        optimizers.append(_torch_optimizer(groups, config, device))
    if by_row and ngram_tables:
        assert isinstance(config, AdamRates) and ngram_lr is not None
        optimizers.append(torch.optim.SparseAdam(ngram_tables, ngram_lr, (config.betas[0], ROW_BETA)))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["max_lr"] = group["lr"]
    return optimizers


def gradient_values(parameters: Iterable[Tensor]) -> list[Tensor]:
    """Return the gradients of those parameters that have one, to be measured and scaled in place.

    A table that is updated by row has a sparse gradient. Its rows are summed here, so that each occurs once, and
    their values are returned (rows that were read, channels). Of a gradient that is divided among ranks, the part of
    this rank is returned.
    """
    found = []
    for p in parameters:
        if p.grad is not None and p.grad.is_sparse:
            p.grad = p.grad.coalesce()
            found.append(p.grad.values())
        elif p.grad is not None:
            found.append(local(p.grad))
    return found


def gradient_norm(gradients: Sequence[Tensor]) -> Tensor:
    """Return the norm of all gradients together, a scalar.

    On CPUs, dot products are twice as fast as norms, and more exact for tables of millions of weights.
    """
    if any(g.device.type != "cpu" for g in gradients):
        return nn.utils.get_total_norm(gradients)
    flat = [g.flatten() for g in gradients]
    return torch.stack([torch.dot(x, x).float() for x in flat]).sum().sqrt()


def _torch_optimizer(
    groups: list[dict[str, Any]], config: OptimizerConfig, device: torch.device
) -> torch.optim.Optimizer:
    """Make the optimizer of all parameters that Muon does not update."""
    if isinstance(config, SGDConfig):
        return torch.optim.SGD(groups, momentum=config.momentum)
    if isinstance(config, AdagradConfig):
        return torch.optim.Adagrad(groups)
    fused = device.type in ("cpu", "cuda", "mps")
    return torch.optim.AdamW(groups, betas=config.betas, fused=fused)


def set_lr(optimizers: Iterable[torch.optim.Optimizer], scale: float) -> None:
    """Set the learning rate of every parameter group to `scale` times its `max_lr`."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["max_lr"] * scale
