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
from groundup.training.objectives import IGNORE_INDEX, Batch, causal_lm, token_distributions


@dataclass(frozen=True)
class RehearsalBatch:
    """One micro-batch of a task, and of texts to rehearse.

    Attributes:
        task: what the model should learn.
        rehearsed: texts; the predictions at positions that have a target should stay as they were.
        scale: number of targets of the task per such position, in the whole micro-batch. With it, the loss is a sum
            over rows, so that several ranks can share the rows.
    """

    task: Batch
    rehearsed: Batch
    scale: float

    @classmethod
    def of(cls, task: Batch, rehearsed: Batch) -> "RehearsalBatch":
        """Join a micro-batch of the task with texts to rehearse."""
        targets, positions = (int((batch.targets != IGNORE_INDEX).sum()) for batch in (task, rehearsed))
        return cls(task, rehearsed, targets / positions)

    def to(self, device: torch.device) -> "RehearsalBatch":
        """Return the same batch on another device."""
        return RehearsalBatch(self.task.to(device), self.rehearsed.to(device), self.scale)

    @property
    def rows(self) -> int:
        """Number of rows of the task."""
        return self.task.rows

    def part(self, start: int, stop: int) -> "RehearsalBatch":
        """Return the task's rows from `start` to before `stop`, and the same share of the rehearsed texts."""
        first, end = (row * self.rehearsed.rows // self.rows for row in (start, stop))
        return RehearsalBatch(self.task.part(start, stop), self.rehearsed.part(first, end), self.scale)

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
            RehearsalBatch.of(task, rehearsed)
            for task, rehearsed in zip(batches(step), texts(step), strict=True)
        ]


def causal_lm_with_rehearsal(model: Decoder, batch: RehearsalBatch, weight: float) -> tuple[Tensor, Tensor]:
    """Compute the loss of the task, plus `weight` times the mean divergence on the rehearsed texts.

    Returns:
        The sum over all targets of the task, and their number; both terms are in nats per token.
    """
    loss, count = causal_lm(model, batch.task)
    return loss + weight * batch.scale * divergence(model, batch.rehearsed), count


def divergence(model: Decoder, batch: Batch) -> Tensor:
    """Compute KL(model without its adapters || model), summed over the positions that have a target, in nats."""
    with torch.no_grad(), bypassed(model):
        before = token_distributions(model, batch)
    now = token_distributions(model, batch)
    return F.kl_div(now, before, reduction="sum", log_target=True)


@torch.inference_mode()
def mean_divergence(model: Decoder, texts: Sequence[Example], batch_size: int) -> float:
    """Compute the mean of `divergence` over all targets of texts, in nats per token; 0 without texts."""
    device = model.wte.weight.device
    positions = sum(sum(text.learned) for text in texts)
    drift = sum(
        float(divergence(model, completion_batch(texts[start : start + batch_size]).to(device)))
        for start in range(0, len(texts), batch_size)
    )
    return drift / max(positions, 1)
