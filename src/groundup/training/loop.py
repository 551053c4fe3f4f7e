"""The training loop, the same for every model.

It knows no dataset, no model class and no tracking server: it receives a model, an objective, a function from
step to micro-batches, and a `log` callable.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Literal, Protocol

import torch
from torch import nn
from tqdm import tqdm

from groundup.errors import BadInput
from groundup.training.config import ComputeConfig, TrainingConfig
from groundup.training.devices import autocast, flop_counter, iteration_dtype, matmul_peak, product_dtype
from groundup.training.optimizers import gradient_norm, gradient_values, lr_scale, make_optimizers, set_lr
from groundup.training.ranks import check_rows, of_first, ranks_of_training, share_of, slowest, sum_over_ranks
from groundup.training.resume import Resume, TrainingState, load_trained, trained_weights
from groundup.training.runtime import keep_pages
from groundup.training.spreading import Objective, SpreadModel

Log = Callable[[Mapping[str, float], int], None]


class TrainingBatch(Protocol):
    """The part of a micro-batch that the training loop uses; the objective uses the rest.

    On several ranks it must also be a `DivisibleBatch`.
    """

    @property
    def tokens(self) -> int:
        """Number of tokens that the model processes for this micro-batch."""
        ...

    def to(self, device: torch.device) -> "TrainingBatch":
        """Return the same batch on another device."""
        ...


def fit(
    model: nn.Module,
    objective: Objective,
    batches: Callable[[int], Sequence[TrainingBatch]],
    config: TrainingConfig,
    compute: ComputeConfig,
    *,
    seed: int,
    log: Log,
    evaluate: Callable[[int], Mapping[str, float]] | None = None,
    monitor: str = "val/loss",
    mode: Literal["min", "max"] = "min",
    resume: Resume | None = None,
    description: str = "training",
) -> list[dict[str, float]]:
    """Train a model in place: run the training loop.

    On several ranks (see `joined`), all start from the weights of rank 0 and end with equal weights. Each computes its
    share of the rows of every micro-batch, so the number of ranks does not change what a step reads. Rank 0 evaluates,
    logs and shows the progress.

    Args:
        model: the model; only its parameters that require gradients are trained.
        objective: (model, batch) -> (sum of the loss, number of terms).
        batches: step (from 0) -> its micro-batches. It must be a pure function, so that a resumed run
            continues with the same batches, and all ranks divide the same ones.
        config: the schedule and the optimizer.
        compute: the precision of matrix products, whether to use torch.compile and to recompute activations, and how
            ranks hold the model.
        seed: seeds dropout, which differs between ranks; `batches` determines the order of the batches.
        log: is called with the metrics of each step and the number of steps so far. Some describe the speed:
            tokens_per_second and, without torch.compile and activation checkpointing, flop, the floating-point
            operations of the step's matrix products, and mfu, the model FLOP utilisation: those operations per second
            as a share of `matmul_peak` (Chowdhery et al. 2022).
        evaluate: step -> metrics. It is called every `eval_interval` steps and at the end, on rank 0, with the current
            weights in `model`.
        monitor: with `patience`, the metric that should improve. The model ends with the weights of its best
            evaluation, and the rows of evaluations have the step of the best as "best_step" (see `best_row`).
            If training stopped because the metric no longer improved, the last row has "stopped_early".
        mode: whether a smaller ("min") or a larger ("max") value of `monitor` is better.
        resume: where the state is saved; training continues from a state that it finds there.
        description: the name of the training on the progress bar and in messages.

    Returns:
        The history: one row of metrics per step. It contains no times, so that equal runs give equal rows.

    Raises:
        BadInput: the loss or a gradient is not finite; it is raised before the update, so the last saved
            state can still be used. Or `config` has patience, but there is no evaluation, or it does not
            return `monitor`. Or there are more ranks than rows in a micro-batch.
    """
    if config.patience is not None and evaluate is None:
        raise BadInput(
            f"{description}: patience is {config.patience}, but this training evaluates nothing that could improve: "
            f"set its patience to null."
        )
    check_rows(config.batch_size)
    keep_pages()
    device = next(model.parameters()).device
    rank, ranks = ranks_of_training()
    spread = SpreadModel(model, objective, compute)
    trained = spread.trained
    optimizers = make_optimizers(trained, config.optimizer, iteration_dtype(compute, device))
    spread.start()
    state = (resume.load(trained, optimizers) if resume else None) or TrainingState()
    parameters = [p for p in trained.parameters() if p.requires_grad]
    precision = autocast(compute, device, model)
    warmup = config.optimizer.warmup_steps / config.max_steps
    products = product_dtype(compute, device, model)
    peak = matmul_peak(device, products)
    # in the first step; the counter would keep the activations that checkpointing frees
    counts, flops_per_token = not compute.compile and not compute.activation_checkpointing, None
    clock = time.perf_counter()
    with tqdm(
        total=config.max_steps,
        initial=state.step,
        desc=description,
        unit="step",
        mininterval=1,
        disable=rank > 0,
    ) as bar:
        while not _finished(state, config):
            trained.train()
            # dropout depends on the step and the rank
            torch.manual_seed(((seed * 1_000_003 + state.step) * 1_009 + rank) % 2**63)
            # the middle of the step, so that no step has rate 0
            progress = (state.step + 0.5) / config.max_steps
            if config.max_seconds is not None:
                progress = max(progress, state.seconds / config.max_seconds)
            scale = lr_scale(progress, warmup, config.optimizer.decay)
            set_lr(optimizers, scale)
            counter = flop_counter() if counts and flops_per_token is None else None
            with counter or nullcontext():
                loss, share, tokens = _gradients(spread, batches(state.step), precision)
            if counter:
                counted = torch.tensor(counter.get_total_flops(), dtype=torch.float32, device=device)
                flops_per_token = float(sum_over_ranks(counted)) / tokens
            gradients = gradient_values(parameters)
            norm = float(spread.norm(gradient_norm(gradients))) * share
            if not math.isfinite(loss) or not math.isfinite(norm):
                raise BadInput(
                    f"{description}: the loss is {loss} and the gradient norm {norm} at step {state.step + 1}; "
                    f"expected finite numbers, so this step was not applied: lower optimizer.max_lr or set grad_clip."
                )
            # turn the sum into a mean and clip it, in at most one pass over memory
            factor = share * min(1.0, (config.grad_clip or math.inf) / max(norm, 1e-6))
            if factor != 1.0:
                torch._foreach_mul_(gradients, factor)
            row = {"train/loss": loss, "lr": config.optimizer.max_lr * scale, "grad_norm": norm}
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            state.step += 1
            state.tokens_seen += tokens
            row |= {"step": state.step, "tokens_seen": state.tokens_seen}
            now = time.perf_counter()
            seconds, clock = slowest(now - clock, device), now
            state.seconds += seconds
            if evaluate and (
                _finished(state, config) or (config.eval_interval and state.step % config.eval_interval == 0)
            ):
                with spread.whole():
                    row |= _evaluated(model, evaluate, state.step, rank)
                    if config.patience is not None:
                        _keep_best(state, model, row, monitor, mode)
                clock = time.perf_counter()  # evaluation does not count as training time
            if _out_of_patience(state, config):
                row["stopped_early"] = 1
            state.history.append(row)
            speed = {"tokens_per_second": tokens / seconds}
            if flops_per_token is not None:
                flop = flops_per_token * tokens
                reached = flop / seconds / ranks
                if reached > peak:
                    peak = matmul_peak(device, products, at_least=reached)
                    clock = time.perf_counter()  # measuring does not count as training time
                speed |= {"flop": flop, "mfu": reached / peak}
            if rank == 0:
                log({k: v for k, v in row.items() if k != "step"} | speed, state.step)
            bar.update()
            mfu = f"{speed['mfu']:.0%}" if "mfu" in speed else "?"
            bar.set_postfix(loss=f"{loss:.3f}", tok_s=f"{tokens / seconds:.0f}", mfu=mfu, refresh=False)
            if (
                resume
                and not _finished(state, config)
                and config.checkpoint_interval
                and state.step % config.checkpoint_interval == 0
            ):
                resume.save(state, trained, optimizers)
                clock = time.perf_counter()  # saving does not count either
        if _out_of_patience(state, config):
            bar.set_postfix_str(
                f"stopped early: {monitor} was best at step {state.best_step} and has not improved in the "
                f"{state.waited} evaluations since"
            )
    spread.leave()
    if state.best_weights:
        load_trained(model, state.best_weights)
    model.eval()
    return state.history


def best_row(history: Sequence[Mapping[str, float]]) -> Mapping[str, float]:
    """Return the row of the step whose weights `fit` left in the model: the last or, with patience, the best.

    Args:
        history: the result of `fit`.
    """
    step = history[-1].get("best_step", history[-1]["step"])
    return next(row for row in history if row["step"] == step)


def _evaluated(
    model: nn.Module, evaluate: Callable[[int], Mapping[str, float]], step: int, rank: int
) -> dict[str, float]:
    """Evaluate a model on rank 0; return its metrics on every rank."""
    model.eval()
    row: dict[str, float] = {}
    if rank == 0:
        with torch.inference_mode():
            row = {name: float(value) for name, value in evaluate(step).items()}
    return of_first(row)


def _keep_best(
    state: TrainingState, model: nn.Module, row: dict[str, float], monitor: str, mode: Literal["min", "max"]
) -> None:
    """Compare an evaluation with the best one so far; if it is better, copy the weights into `state`."""
    if monitor not in row:
        raise BadInput(
            f"patience waits for a better {monitor}, which is not evaluated; expected one of "
            f"{', '.join(sorted(row))}: evaluate {monitor}, or set patience to null."
        )
    value = row[monitor] if mode == "max" else -row[monitor]
    if value > state.best:
        state.best, state.best_step, state.waited = value, state.step, 0
        state.best_weights = {name: p.to("cpu", copy=True) for name, p in trained_weights(model).items()}
    else:
        state.waited += 1
    if state.best_weights:
        row["best_step"] = state.best_step


def _gradients(
    spread: SpreadModel, micro_batches: Sequence[TrainingBatch], precision: torch.autocast
) -> tuple[float, float, int]:
    """Sum the gradients of one training step over its micro-batches and over all ranks.

    They are divided by the number of terms of the first micro-batch on the way: if it is the only one, they are then
    those of the mean, without another pass over memory. Several ranks would have to agree, so they divide by 1; DDP and
    FSDP2 divide by the number of ranks.

    Returns:
        The mean loss, by what the gradients are still to be multiplied, and the number of tokens of the whole step.
    """
    device = spread.device
    totals = torch.zeros(3, device=device, dtype=torch.float32)  # loss sum, count, tokens
    first = torch.ones((), device=device) if spread.ranks > 1 else None
    for number, whole in enumerate(micro_batches, start=1):
        batch, counts = share_of(whole)
        batch = batch.to(device)
        with spread.summing(number == len(micro_batches)):
            with precision:
                loss, count = spread.step(batch)
            if first is None:
                first = count.to(totals).clamp(min=1.0)
            (loss / first if counts else loss * 0.0).backward()
        if counts:
            totals += torch.stack([loss.detach().float(), count.to(totals), totals.new_tensor(batch.tokens)])
    assert first is not None
    (loss_sum, count_sum, tokens_sum), share = sum_over_ranks(totals).tolist(), float(first) * spread.ranks
    count_sum = max(count_sum, 1e-9)
    return loss_sum / count_sum, share / count_sum, int(tokens_sum)


def _finished(state: TrainingState, config: TrainingConfig) -> bool:
    """Return whether a training is over: its steps, time or patience are used up."""
    out_of_time = config.max_seconds is not None and state.seconds >= config.max_seconds
    return state.step >= config.max_steps or out_of_time or _out_of_patience(state, config)


def _out_of_patience(state: TrainingState, config: TrainingConfig) -> bool:
    return config.patience is not None and state.waited >= config.patience
