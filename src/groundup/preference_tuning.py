"""Direct preference optimisation: of two answers to one question, the better one made likelier (Rafailov et al. 2023).

The model and a frozen copy of it, the reference, say how likely each answer is. Where the model favours the chosen
answer more than the reference does, the implicit reward beta · log(p / p_reference) of the chosen one is higher, and
the loss -log sigmoid(reward chosen - reward rejected) small. The reference reads every answer once, before training.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from groundup.datasets.batching import completion_batch
from groundup.nn.decoder import Decoder
from groundup.objectives import IGNORE_INDEX, Batch


@dataclass(frozen=True)
class Preference:
    """A question and two answers, as ids; each answer ends with the end-of-text token."""

    prompt: Sequence[int]
    chosen: Sequence[int]
    rejected: Sequence[int]


@dataclass(frozen=True)
class PreferenceBatch:
    """P pairs: `both` holds the chosen answers in its first P rows, the rejected ones in the others.

    reference: (2 P,) what the frozen model says, in nats: sum of log p over each answer's tokens.
    """

    both: Batch
    reference: Tensor

    def to(self, device: torch.device) -> "PreferenceBatch":
        """The batch on another device."""
        return PreferenceBatch(self.both.to(device), self.reference.to(device))


def both_answers(pairs: Sequence[Preference]) -> Batch:
    """The chosen answers, then the rejected ones, each behind its question; only answers are targets."""
    prompts = [pair.prompt for pair in pairs] * 2
    return completion_batch(prompts, [*(p.chosen for p in pairs), *(p.rejected for p in pairs)])


def answer_log_probs(model: Decoder, batch: Batch) -> Tensor:
    """(B,): the sum of log p of the targets of each row, in nats."""
    hidden, real = model(batch.idx), batch.targets != IGNORE_INDEX
    log_p = -F.cross_entropy(model.logits(hidden[real]).float(), batch.targets[real], reduction="none")
    row = torch.arange(len(real), device=real.device)[:, None].expand_as(real)[real]
    return log_p.new_zeros(len(real)).index_add(0, row, log_p)


@torch.inference_mode()
def reference_log_probs(
    model: Decoder, pairs: Sequence[Preference], batch_size: int
) -> tuple[Tensor, Tensor]:
    """What the reference says of every chosen and every rejected answer: (N,), (N,), on the CPU."""
    device = model.wte.weight.device
    found = []
    for start in range(0, len(pairs), batch_size):
        some = pairs[start : start + batch_size]
        found.append(answer_log_probs(model, both_answers(some).to(device)).cpu().view(2, -1))
    chosen, rejected = torch.cat(found, dim=1)
    return chosen, rejected


def rewards(model: Decoder, batch: PreferenceBatch, beta: float) -> tuple[Tensor, Tensor]:
    """Implicit rewards of the chosen and of the rejected answers (P,), (P,): beta · log(p / p_reference)."""
    gained = beta * (answer_log_probs(model, batch.both) - batch.reference)
    chosen, rejected = gained.view(2, -1)
    return chosen, rejected


def dpo(model: Decoder, batch: PreferenceBatch, beta: float) -> tuple[Tensor, Tensor]:
    """-log sigmoid of the margin between both rewards, summed over pairs, and their number."""
    chosen, rejected = rewards(model, batch, beta)
    return -F.logsigmoid(chosen - rejected).sum(), torch.tensor(len(chosen), device=chosen.device)
