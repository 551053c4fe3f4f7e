"""Optimizers, and the schedule of the learning rates, which depends only on the progress of the training."""

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from groundup.nn.transformer import NgramEmbedding
from groundup.training.config import AdagradConfig, AdamRates, Decay, MuonConfig, OptimizerConfig, SGDConfig


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


def orthogonalise(matrices: Tensor, steps: int) -> Tensor:
    """Make matrices nearly orthogonal by Newton-Schulz iterations, for Muon.

    They approach U Vᵀ, where U S Vᵀ is the singular value decomposition of a matrix. Singular values end near
    1 (between 0.7 and 1.2 after 5 steps), which is all that Muon needs. The coefficients are from Jordan et
    al. 2024, "Muon: an optimizer for hidden layers". The computation is in bfloat16 on CUDA and in the dtype
    of `matrices` elsewhere, since many CPUs emulate bfloat16.

    Args:
        matrices: (n, rows, columns), processed as one batch.
        steps: number of iterations.

    Returns:
        (n, rows, columns), in the dtype of `matrices`.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrices.bfloat16() if matrices.device.type == "cuda" else matrices
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).type_as(matrices)


class Muon(torch.optim.Optimizer):
    """The optimizer Muon: momentum, made orthogonal, so that all directions of a matrix change equally.

    From Jordan et al. 2024. Matrices of the same shape are processed as one batch. In a group with `parts` >
    1, each matrix is a stack of that many projections, which are made orthogonal separately.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float,
        momentum: float,
        steps: int,
        weight_decay: float,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "steps": steps, "weight_decay": weight_decay, "parts": 1}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient; `closure` is not called."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[tuple[Tensor, Tensor]]] = defaultdict(list)
            for p in group["params"]:
                if p.grad is None:
                    continue
                if "momentum_buffer" not in self.state[p]:
                    self.state[p]["momentum_buffer"] = torch.zeros_like(p)
                buffer = self.state[p]["momentum_buffer"]
                buffer.lerp_(p.grad, 1 - group["momentum"])
                update = p.grad.lerp(buffer, group["momentum"])  # Nesterov
                by_shape[update.shape].append((p, update))
            for shape, pairs in by_shape.items():
                stacked = torch.stack([update for _, update in pairs])
                (rows, columns), parts = shape, group["parts"]
                direction = orthogonalise(stacked.view(-1, rows // parts, columns), group["steps"])
                scale = max(1.0, rows / parts / columns) ** 0.5
                for (p, _), d in zip(pairs, direction.view(-1, rows, columns), strict=True):
                    p.mul_(1 - group["lr"] * group["weight_decay"]).add_(d, alpha=-group["lr"] * scale)


def stacked_projections(name: str, p: Tensor) -> int:
    """Return the number of projections stacked in a weight matrix, which Muon processes separately.

    `c_attn` has three (queries, keys and values), `c_kv` two (keys and values), any other matrix one. With
    grouped-query attention the parts of `c_attn` differ in size, so it counts as one.
    """
    if name.endswith("c_attn.weight") and p.shape[0] == 3 * p.shape[1]:
        return 3
    return 2 if name.endswith("c_kv.weight") else 1


def make_optimizers(model: nn.Module, config: OptimizerConfig) -> list[torch.optim.Optimizer]:
    """Make the optimizers of a training, one per update rule, for the parameters that require gradients.

    Every parameter group stores its learning rate after warm-up as `max_lr`, which `set_lr` scales.
    """
    tables = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    ngrams = [m.table for m in model.modules() if isinstance(m, NgramEmbedding)]
    by_row = isinstance(config, AdamRates) and config.ngram_lr is not None
    for table in ngrams:
        table.sparse = by_row  # the gradient has only the rows that were read
    read_rows = {id(table.weight) for table in ngrams if by_row}
    matrices: dict[int, list[Tensor]] = defaultdict(list)  # by the number of stacked projections
    embeddings, rows, vectors, heads = [], [], [], []
    for name, p in model.named_parameters():
        if not p.requires_grad:
            continue
        if id(p) in read_rows:
            rows.append(p)
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
                Muon(stacks, config.max_lr, config.momentum, config.newton_schulz_steps, config.weight_decay)
            )
    else:
        flat = [p for group in matrices.values() for p in group]
        groups.append({"params": flat, "lr": config.max_lr, "weight_decay": config.weight_decay})
    groups = [group for group in groups if group["params"]]
    if groups:
        optimizers.append(_torch_optimizer(groups, config, next(model.parameters()).device))
    if rows and isinstance(config, AdamRates) and config.ngram_lr is not None:
        optimizers.append(torch.optim.SparseAdam(rows, config.ngram_lr, config.betas))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["max_lr"] = group["lr"]
    return optimizers


def gradient_values(parameters: Iterable[Tensor]) -> list[Tensor]:
    """Return the gradients of those parameters that have one, to be measured and scaled in place.

    A table that is updated by row has a sparse gradient. Its rows are summed here, so that each occurs once, and
    their values are returned (rows that were read, channels).
    """
    found = []
    for p in parameters:
        if p.grad is not None and p.grad.is_sparse:
            p.grad = p.grad.coalesce()
            found.append(p.grad.values())
        elif p.grad is not None:
            found.append(p.grad)
    return found


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
