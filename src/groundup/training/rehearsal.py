"""Rehearsal: finetuning that keeps a model's predictions on texts of kinds that it should not forget.

A model that is finetuned on one kind of text forgets others (French 1999, "Catastrophic forgetting in connectionist
networks"). Each micro-batch therefore also has texts of other kinds, and the loss adds how far the model's predictions
on them are from those that it made before (Li and Hoiem 2016, "Learning without Forgetting",
https://arxiv.org/abs/1606.09282, eq. 3, here on rehearsed texts). With adapters the earlier model takes no memory:
it is the same model without them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from groundup.nn.decoder import Decoder
from groundup.nn.lora import bypassed
from groundup.training.batching import Example, completion_batch, sorted_batches
from groundup.training.config import RehearsalConfig
from groundup.training.objectives import Batch, causal_lm, token_distributions


@dataclass(frozen=True)
class RehearsalBatch:
    """One micro-batch of a task, and of texts to rehearse.

    Attributes:
        task: what the model should learn.
        rehearsed: texts; the predictions at positions that have a target should stay as they were.
    """

    task: Batch
    rehearsed: Batch

    def to(self, device: torch.device) -> "RehearsalBatch":
        """Return the same batch on another device."""
        return RehearsalBatch(self.task.to(device), self.rehearsed.to(device))

    @property
    def tokens(self) -> int:
        """Number of tokens of the task and of the rehearsed texts."""
        return self.task.tokens + self.rehearsed.tokens


@dataclass(frozen=True)
class Rehearsed:
    """Texts to rehearse, with targets where predictions should stay as they were.

    Attributes:
        train: texts to train on, each once per epoch of the texts.
        val: texts that only measure the divergence.
        config: the number of texts per micro-batch, and their weight.
    """

    train: Sequence[Example]
    val: Sequence[Example]
    config: RehearsalConfig

    def added_to(
        self, batches: Callable[[int], Sequence[Any]], grad_accum_steps: int, seed: int
    ) -> Callable[[int], list[RehearsalBatch]]:
        """Return a task's batches, with texts to rehearse added to each micro-batch in a seeded order.

        Args:
            batches: step (from 0) -> the micro-batches of the task.
            grad_accum_steps: number of micro-batches per step.
            seed: seeds the order of the texts.

        Raises:
            BadInput: there are no texts.
        """
        texts = sorted_batches(
            [len(text.ids) for text in self.train],
            lambda chosen: completion_batch([self.train[i] for i in chosen]),
            self.config.batch_size,
            grad_accum_steps,
            seed,
        )
        return lambda step: [
            RehearsalBatch(task, rehearsed)
            for task, rehearsed in zip(batches(step), texts(step), strict=True)
        ]


def causal_lm_with_rehearsal(model: Decoder, batch: RehearsalBatch, weight: float) -> tuple[Tensor, Tensor]:
    """Compute the loss of the task, plus `weight` times the mean divergence on the rehearsed texts.

    Returns:
        The sum over all targets of the task, and their number; both terms are in nats per token.
    """
    loss, count = causal_lm(model, batch.task)
    drift, positions = divergence(model, batch.rehearsed)
    return loss + weight * drift / positions * count, count


def divergence(model: Decoder, batch: Batch) -> tuple[Tensor, Tensor]:
    """Compute KL(model without its adapters || model) at the positions that have a target.

    Returns:
        The sum over these positions, in nats, and their number.
    """
    with torch.no_grad(), bypassed(model):
        before = token_distributions(model, batch)
    now = token_distributions(model, batch)
    drift = F.kl_div(now, before, reduction="sum", log_target=True)
    return drift, torch.tensor(len(now), device=now.device)


@torch.inference_mode()
def mean_divergence(model: Decoder, texts: Sequence[Example], batch_size: int) -> float:
    """Compute the mean of `divergence` over all targets of texts, in nats per token; 0 without texts."""
    device = model.wte.weight.device
    drift = positions = 0.0
    for start in range(0, len(texts), batch_size):
        of_batch, count = divergence(model, completion_batch(texts[start : start + batch_size]).to(device))
        drift, positions = drift + float(of_batch), positions + float(count)
    return drift / max(positions, 1.0)
