"""Direct preference optimisation makes the better of two answers to a question likelier (Rafailov et al. 2023).

The model and a frozen copy of it, the reference, say how likely each answer is. Where the model favours the chosen
answer more than the reference does, the implicit reward beta · log(p / p_reference) of the chosen one is higher, and
the loss -log sigmoid(reward chosen - reward rejected) small. The reference reads every answer once, before training.

Alone, that loss may make both answers less likely, the rejected one only faster, and a model that could answer unlearns
it. So the negative log likelihood of the chosen answer is added (Pang et al. 2024, "Iterative Reasoning Preference
Optimization", https://arxiv.org/abs/2404.19733, eq. 1).
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
from groundup.datasets.subsets import sample_families
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
from groundup.training.objectives import IGNORE_INDEX, Batch
from groundup.training.resume import Resume

CHOSEN = 0  # number of the chosen answer's document; the rejected one's is 1


@dataclass(frozen=True)
class Preference:
    """A question and two answers, as ids; each answer ends with the end-of-text token."""

    prompt: Sequence[int]
    chosen: Sequence[int]
    rejected: Sequence[int]


def preferences(
    prompter: Prompter, rows: Sequence[Mapping[str, Any]], context_length: int
) -> list[Preference]:
    """Pairs of rows with id, instruction, input, chosen, rejected, and perhaps history.

    Raises:
        BadInput: a prompt with one of its answers is longer than the context.
    """
    prompts = prompter.prompts([Request.of(row) for row in rows])
    chosen, rejected = (prompter.completions([row[name] for row in rows]) for name in ("chosen", "rejected"))
    for row, prompt, *answers in zip(rows, prompts, chosen, rejected, strict=True):
        longest = len(prompt) + max(map(len, answers))
        if longest > context_length + 1:
            raise BadInput(
                f"pair {row['id']} has {longest} tokens; the context holds {context_length}; shorten or remove it."
            )
    return [Preference(*pair) for pair in zip(prompts, chosen, rejected, strict=True)]


@dataclass(frozen=True)
class Judged:
    """A pair, and log p of both its answers under the reference, in nats."""

    pair: Preference
    chosen: float
    rejected: float


@dataclass(frozen=True)
class PreferenceBatch:
    """P pairs, one a row: `both` holds a question and its two answers, document 0 the chosen one, 1 the rejected.

    reference: (P, 2) what the frozen model says, in nats: sum of log p over each answer's tokens.
    """

    both: Batch
    reference: Tensor

    def to(self, device: torch.device) -> "PreferenceBatch":
        """The batch on another device."""
        return PreferenceBatch(self.both.to(device), self.reference.to(device))

    @property
    def tokens(self) -> int:
        """Tokens read, of both answers."""
        return self.both.tokens


def both_answers(pairs: Sequence[Preference]) -> Batch:
    """One row per pair, in which the question is read once; only answers are targets."""
    return document_batch(
        [
            [Example.of([(pair.prompt, False), (answer, True)]) for answer in (pair.chosen, pair.rejected)]
            for pair in pairs
        ]
    )


def answer_log_probs(model: Decoder, batch: Batch) -> Tensor:
    """(P, 2): the sum of log p over the tokens of the chosen and of the rejected answers, in nats."""
    return _sums(_distributions(model, batch), batch)


def _distributions(model: Decoder, batch: Batch) -> Tensor:
    """log p of every token of the vocabulary where a token is to be guessed: (N, V)."""
    assert batch.documents is not None
    hidden = model(batch.idx, documents=batch.documents)[batch.targets != IGNORE_INDEX]
    return model.logits(hidden).float().log_softmax(dim=-1)


def _sums(distributions: Tensor, batch: Batch) -> Tensor:
    """(N, V) -> (P, 2): log p of the right tokens, summed over each answer."""
    assert batch.documents is not None
    real = batch.targets != IGNORE_INDEX
    log_p = distributions.gather(1, batch.targets[real][:, None])[:, 0]
    row = torch.arange(len(real), device=real.device)[:, None].expand_as(real)[real]
    sums = log_p.new_zeros(2 * len(real)).index_add(0, 2 * row + batch.documents[real], log_p)
    return sums.view(-1, 2)


@torch.inference_mode()
def with_reference(
    model: Decoder, pairs: Sequence[Preference], batch_size: int, compute: ComputeConfig
) -> list[Judged]:
    """The pairs with what the model says of their answers now: it is the reference as long as it is not trained.

    In the precision of the training: rounding would otherwise look like a preference.
    """
    device, found = model.wte.weight.device, []
    with tqdm(total=len(pairs), desc="reference", unit="pair", disable=None) as bar:
        for start in range(0, len(pairs), batch_size):
            some = pairs[start : start + batch_size]
            with autocast(compute, device):
                said = answer_log_probs(model, both_answers(some).to(device)).tolist()
            found += [Judged(pair, *nats) for pair, nats in zip(some, said, strict=True)]
            bar.update(len(some))
    return found


def preference_batch(pairs: Sequence[Judged]) -> PreferenceBatch:
    """A padded batch of pairs."""
    reference = [(pair.chosen, pair.rejected) for pair in pairs]
    return PreferenceBatch(both_answers([pair.pair for pair in pairs]), torch.tensor(reference))


def dpo(model: Decoder, batch: PreferenceBatch, beta: float, nll_weight: float) -> tuple[Tensor, Tensor]:
    """-log sigmoid of the margin between both implicit rewards, summed over pairs, and their number.

    The reward of an answer is beta · log(p / p_reference) (Rafailov et al. 2023, eq. 7). Added is
    `nll_weight` times -log p of the chosen answer, in nats a token (Pang et al. 2024, eq. 1).
    """
    losses = _losses(answer_log_probs(model, batch.both), batch, beta, nll_weight)
    return losses.sum(), torch.tensor(len(losses), device=losses.device)


def _losses(said: Tensor, batch: PreferenceBatch, beta: float, nll_weight: float) -> Tensor:
    """log p of both answers (P, 2) -> (P,)."""
    assert batch.both.documents is not None
    chosen, rejected = (beta * (said - batch.reference)).unbind(dim=1)
    tokens = ((batch.both.documents == CHOSEN) & (batch.both.targets != IGNORE_INDEX)).sum(dim=1)
    return -F.logsigmoid(chosen - rejected) - nll_weight * said[:, 0] / tokens


@torch.inference_mode()
def preference_scores(
    model: Decoder,
    pairs: Sequence[Judged],
    beta: float,
    nll_weight: float,
    batch_size: int,
    compute: ComputeConfig,
) -> dict[str, float]:
    """How far the model has moved: means over the pairs.

    Returns:
        loss: as in training, in nats. margin: reward of the chosen less that of the rejected answer. accuracy: share
        of pairs in which it is above 0. kl: how far the model is from the reference, KL(model || reference) in nats
        a token of the chosen answers. chosen_gain: log p of the chosen answers less the reference's, in nats: below 0
        where both answers become less likely and the rejected one only faster.
    """
    device = model.wte.weight.device
    gains = torch.zeros(0, 2)
    losses: list[float] = []
    divergence = tokens = 0.0
    for start in range(0, len(pairs), batch_size):
        batch = preference_batch(pairs[start : start + batch_size]).to(device)
        both = batch.both
        assert both.documents is not None
        with autocast(compute, device):
            now = _distributions(model, both)
            with bypassed(model):
                before = _distributions(model, both)
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


def tune(
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
    """Add adapters to the model and train them on the preferences; returns the history of `fit`.

    Args:
        val: pairs that are scored (see `preference_scores`); the metrics are called val/….
        log, resume, description: see `fit`.

    Raises:
        BadInput: adapters that do not fit the model, or see `fit`.
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
        partial(dpo, beta=config.beta, nll_weight=config.nll_weight),
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
    """Tune the decoder of a checkpoint on pairs of answers; write its adapters and the curve of the scores.

    Args:
        reference: folder of the checkpoint, which is also the frozen reference.
        pairs: folder with train.jsonl and val.jsonl.
        out: folder of the checkpoint that is written; it holds adapters and refers to `reference`.
        curve: CSV of losses and scores.
        state: folder from which an interrupted training continues; call `clear_states` once all is stored.

    Returns:
        {"pairs": number of training pairs, "val": the scores of `preference_scores` on val}.

    Raises:
        BadInput: the checkpoint is no decoder, a pair does not fit the context, or see `tune`.
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
    history = tune(base.model, train, val, config, compute, log=log, resume=resume, description="dpo")
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
