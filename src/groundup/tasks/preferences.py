"""Direct preference optimisation (DPO) makes the better of two answers more likely (Rafailov et al. 2023).

The model and a frozen copy of it, the reference, assign each answer a probability. The implicit reward of an answer is
beta · log(p / p_reference), and the loss is -log sigmoid(reward of chosen - reward of rejected): it is small if the
model favours the chosen answer more than the reference does. The reference scores every answer once, before training.

That loss alone can make both answers less likely, as long as the rejected one falls faster, and the model may forget
how to answer. The loss therefore adds the negative log likelihood of the chosen answer (Pang et al. 2024, "Iterative
Reasoning Preference Optimization", https://arxiv.org/abs/2404.19733, eq. 1).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from groundup.checkpoint import fingerprint, load_checkpoint, save_checkpoint
from groundup.datasets.mixtures import sample_families
from groundup.errors import BadInput
from groundup.generation.prompts import Prompter, Request
from groundup.nn.decoder import Decoder
from groundup.nn.lora import add_adapters, bypassed
from groundup.text.jsonl import read_splits
from groundup.training.batching import Example, document_batch, sorted_batches
from groundup.training.config import ComputeConfig, PreferenceConfig
from groundup.training.curves import write_curve
from groundup.training.devices import autocast, pick_device
from groundup.training.loop import Log, best_row, fit
from groundup.training.objectives import IGNORE_INDEX, Batch, token_distributions
from groundup.training.ranks import only_first_continues
from groundup.training.resume import Resume

CHOSEN = 0  # document number of the chosen answer; that of the rejected answer is 1


@dataclass(frozen=True)
class Preference:
    """A preference pair: token ids of a prompt and two answers, each ended by the end-of-text token."""

    prompt: Sequence[int]
    chosen: Sequence[int]
    rejected: Sequence[int]


def preferences(
    prompter: Prompter, rows: Sequence[Mapping[str, Any]], context_length: int
) -> list[Preference]:
    """Encode rows (id, instruction, input, chosen, rejected, optional history) as preference pairs.

    Raises:
        BadInput: a prompt with one of its answers is longer than the context; see also `Prompter.prompts`.
    """
    prompts = prompter.prompts([Request.of(row) for row in rows])
    chosen, rejected = (prompter.completions([row[name] for row in rows]) for name in ("chosen", "rejected"))
    for row, prompt, *answers in zip(rows, prompts, chosen, rejected, strict=True):
        longest = len(prompt) + max(map(len, answers))
        if longest > context_length + 1:
            raise BadInput(
                f"pair {row['id']} has {longest} tokens; expected at most {context_length + 1}: shorten or remove it."
            )
    return [Preference(*pair) for pair in zip(prompts, chosen, rejected, strict=True)]


@dataclass(frozen=True)
class ScoredPair:
    """A preference pair, and the log probability of each answer under the reference model, in nats."""

    pair: Preference
    chosen: float
    rejected: float


@dataclass(frozen=True)
class PreferenceBatch:
    """A batch of P preference pairs.

    Attributes:
        both: one row per pair, with the prompt and both answers. Document 0 is the chosen answer, 1 the
            rejected one.
        reference: (P, 2), log p of each answer under the reference model, summed over its tokens, in nats.
    """

    both: Batch
    reference: Tensor

    def to(self, device: torch.device) -> "PreferenceBatch":
        """Return the same batch on another device."""
        return PreferenceBatch(self.both.to(device), self.reference.to(device))

    @property
    def rows(self) -> int:
        """Number of pairs."""
        return self.both.rows

    def part(self, start: int, stop: int) -> "PreferenceBatch":
        """Return the pairs from `start` to before `stop`."""
        return PreferenceBatch(self.both.part(start, stop), self.reference[start:stop])

    @property
    def tokens(self) -> int:
        """Number of tokens read, including both answers."""
        return self.both.tokens


def both_answers(pairs: Sequence[Preference]) -> Batch:
    """Make a batch of preference pairs, one per row; the prompt occurs once, and only answers are targets."""
    return document_batch(
        [
            [Example.of([(pair.prompt, False), (answer, True)]) for answer in (pair.chosen, pair.rejected)]
            for pair in pairs
        ]
    )


def answer_log_probs(model: Decoder, batch: Batch) -> Tensor:
    """Compute the log p of the chosen and the rejected answers, summed over their tokens, in nats: (P, 2)."""
    return _sums(token_distributions(model, batch), batch)


def _sums(distributions: Tensor, batch: Batch) -> Tensor:
    """Sum the log p of the target tokens of each answer: distributions (N, V) -> (P, 2)."""
    assert batch.documents is not None
    real = batch.targets != IGNORE_INDEX
    log_p = distributions.gather(1, batch.targets[real][:, None])[:, 0]
    row = torch.arange(len(real), device=real.device)[:, None].expand_as(real)[real]
    sums = log_p.new_zeros(2 * len(real)).index_add(0, 2 * row + batch.documents[real], log_p)
    return sums.view(-1, 2)


@torch.inference_mode()
def with_reference(
    model: Decoder, pairs: Sequence[Preference], batch_size: int, compute: ComputeConfig
) -> list[ScoredPair]:
    """Score preference pairs with the model before its training, which is the reference model.

    The precision is that of the training, because rounding differences would look like a preference.
    """
    device, found = model.wte.weight.device, []
    with tqdm(total=len(pairs), desc="reference", unit="pair", disable=None) as bar:
        for start in range(0, len(pairs), batch_size):
            some = pairs[start : start + batch_size]
            with autocast(compute, device, model):
                said = answer_log_probs(model, both_answers(some).to(device)).tolist()
            found += [ScoredPair(pair, *nats) for pair, nats in zip(some, said, strict=True)]
            bar.update(len(some))
    return found


def preference_batch(pairs: Sequence[ScoredPair]) -> PreferenceBatch:
    """Make a padded batch of scored preference pairs."""
    reference = [(pair.chosen, pair.rejected) for pair in pairs]
    return PreferenceBatch(both_answers([pair.pair for pair in pairs]), torch.tensor(reference))


def dpo_loss(model: Decoder, batch: PreferenceBatch, beta: float, nll_weight: float) -> tuple[Tensor, Tensor]:
    """Compute the DPO loss of a batch of preference pairs.

    The loss of a pair is -log sigmoid of the difference of both implicit rewards, beta · log(p / p_reference)
    (Rafailov et al. 2023, eq. 7), plus `nll_weight` times -log p of the chosen answer in nats per token (Pang
    et al. 2024, eq. 1).

    Returns:
        The sum over pairs, and the number of pairs.
    """
    losses = _losses(answer_log_probs(model, batch.both), batch, beta, nll_weight)
    return losses.sum(), torch.tensor(len(losses), device=losses.device)


def _losses(said: Tensor, batch: PreferenceBatch, beta: float, nll_weight: float) -> Tensor:
    """Compute the DPO loss of each pair: log p of both answers (P, 2) -> (P,)."""
    assert batch.both.documents is not None
    chosen, rejected = (beta * (said - batch.reference)).unbind(dim=1)
    tokens = ((batch.both.documents == CHOSEN) & (batch.both.targets != IGNORE_INDEX)).sum(dim=1)
    return -F.logsigmoid(chosen - rejected) - nll_weight * said[:, 0] / tokens


@torch.inference_mode()
def preference_scores(
    model: Decoder,
    pairs: Sequence[ScoredPair],
    beta: float,
    nll_weight: float,
    batch_size: int,
    compute: ComputeConfig,
) -> dict[str, float]:
    """Score a model trained with DPO on preference pairs, relative to the reference model.

    Returns:
        Means over the pairs. "loss": as in training. "margin": reward of the chosen answer minus that of the
        rejected one. "accuracy": share of pairs with a margin above 0. "kl": KL(model || reference), in nats
        per token of the chosen answers. "chosen_gain": log p of the chosen answer minus its log p under the
        reference model, in nats per answer; it is negative if training made chosen answers less likely.
    """
    device = model.wte.weight.device
    gains = torch.zeros(0, 2)
    losses: list[float] = []
    divergence = tokens = 0.0
    for start in range(0, len(pairs), batch_size):
        batch = preference_batch(pairs[start : start + batch_size]).to(device)
        both = batch.both
        assert both.documents is not None
        with autocast(compute, device, model):
            now = token_distributions(model, both)
            with bypassed(model):
                before = token_distributions(model, both)
        said = _sums(now, both)
        losses += _losses(said, batch, beta, nll_weight).tolist()
        gains = torch.cat([gains, (said - batch.reference).cpu()])
        chosen = both.documents[both.targets != IGNORE_INDEX] == CHOSEN
        now, before = now[chosen], before[chosen]
        divergence += float((now.exp() * (now - before)).sum())
        tokens += len(now)
    margins = beta * (gains[:, 0] - gains[:, 1])
    return {
        "loss": sum(losses) / len(losses),
        "margin": float(margins.mean()),
        "accuracy": float((margins > 0).float().mean()),
        "kl": divergence / tokens,
        "chosen_gain": float(gains[:, 0].mean()),
    }


def finetune(
    model: Decoder,
    train: Sequence[Preference],
    val: Sequence[Preference],
    config: PreferenceConfig,
    compute: ComputeConfig,
    *,
    description: str,
    log: Log = lambda metrics, step: None,
    resume: Resume | None = None,
) -> list[dict[str, float]]:
    """Finetune a model with DPO: add adapters and train them on preference pairs.

    Args:
        model: the decoder, changed in place; without its adapters it is the reference model.
        train: pairs to train on.
        val: pairs to score (see `preference_scores`); the names of these metrics begin with "val/".
        config: settings of the training.
        compute: the precision.
        description: see `fit`.
        log: see `fit`.
        resume: see `fit`.

    Returns:
        The history of `fit`.

    Raises:
        BadInput: the adapters do not fit the model; see also `fit`.
    """
    size = config.training.batch_size
    learned, scored = (with_reference(model, pairs, size, compute) for pairs in (train, val))
    torch.manual_seed(config.seed)
    add_adapters(model, config.lora)
    lengths = [len(j.pair.prompt) + max(len(j.pair.chosen), len(j.pair.rejected)) for j in learned]

    def evaluate(step: int) -> dict[str, float]:
        scores = preference_scores(model, scored, config.beta, config.nll_weight, size, compute)
        return {f"val/{name}": value for name, value in scores.items()}

    return fit(
        model,
        partial(dpo_loss, beta=config.beta, nll_weight=config.nll_weight),
        sorted_batches(
            lengths,
            lambda chosen: preference_batch([learned[i] for i in chosen]),
            size,
            config.training.grad_accum_steps,
            config.seed,
        ),
        config.training,
        compute,
        seed=config.seed,
        log=log,
        evaluate=evaluate,
        resume=resume,
        description=description,
    )


def finetune_checkpoint(
    reference: Path,
    pairs: Path,
    out: Path,
    curve: Path,
    state: Path,
    *,
    config: PreferenceConfig,
    compute: ComputeConfig,
    log: Log,
) -> dict[str, Any]:
    """Train the decoder of a checkpoint with DPO; write its adapters and the curve of losses and scores.

    Args:
        reference: folder of the checkpoint to start from, which is also the frozen reference model.
        pairs: folder with train.jsonl and val.jsonl.
        out: folder of the checkpoint to write; it contains adapters and refers to `reference`.
        curve: CSV file of losses and scores to write.
        state: folder of the resumable state; call `clear_states` once all outputs are stored.
        config: settings of the training.
        compute: device and precision.
        log: see `fit`.

    Returns:
        {"pairs": number of training pairs, "val": the scores of `preference_scores` on val}.

    Raises:
        BadInput: the checkpoint is not a decoder, or a pair does not fit the context; see also `finetune`.
    """
    base = load_checkpoint(reference, pick_device(compute), "decoder")
    rows = read_splits(pairs, ("train", "val"))
    sizes = {"train": config.max_examples, "val": config.eval_examples}
    train, val = (
        preferences(
            base.prompter(),
            sample_families(rows[split], size, config.seed),
            base.config.model.context_length,
        )
        for split, size in sizes.items()
    )
    data = {split: fingerprint(pairs / f"{split}.jsonl") for split in rows}
    data["reference"] = fingerprint(reference / "model.safetensors")
    resume = Resume(state, config=config, compute=compute, data=data)
    history = finetune(base.model, train, val, config, compute, log=log, resume=resume, description="dpo")
    only_first_continues()
    save_checkpoint(
        out,
        base.model,
        base.tokenizer,
        base=reference,
        lora=config.lora,
        prompt_style=base.prompt_style,
        chat_template=base.config.chat_template,
        stop_ids=base.config.stop_ids,
        params={"dpo": asdict(config)},
        data=data,
    )
    write_curve(curve, history)
    scores = {name: value for name, value in best_row(history).items() if name.startswith("val/")}
    return {"pairs": len(train), "val": {name.removeprefix("val/"): v for name, v in scores.items()}}
