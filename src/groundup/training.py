"""One training loop for every training of the house.

It knows no dataset, no model class and no tracking server: it receives a model, an objective, a function from
step to micro-batches, and a `log` callable.
"""

import contextlib
import hashlib
import json
import math
import os
import shutil
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn
from tqdm import tqdm

from groundup.atomic import atomic_path
from groundup.errors import BadInput
from groundup.optimizers import lr_scale, make_optimizers, set_lr
from groundup.recipes import ComputeConfig, TrainingConfig

Objective = Callable[
    [Any, Any], tuple[Tensor, Tensor]
]  # (model, batch) -> (sum of the loss, number of terms)
Log = Callable[[Mapping[str, float], int], None]


class TrainingBatch(Protocol):
    """All that the loop knows of a micro-batch; the rest is between the data and the objective."""

    @property
    def tokens(self) -> int:
        """Tokens read."""
        ...

    def to(self, device: torch.device) -> "TrainingBatch":
        """The same batch on another device."""
        ...


def pick_device(config: ComputeConfig) -> torch.device:
    """The device to train on; also sets the number of CPU threads.

    Raises:
        BadInput: the device asked for is not there.
    """
    torch.set_num_threads(config.threads)
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if config.device == "auto":
        return torch.device(next(name for name, there in available.items() if there))
    if not available[config.device]:
        there = ", ".join(name for name, is_there in available.items() if is_there)
        raise BadInput(
            f"compute.device is {config.device}, which this machine lacks; choose auto or one of: {there}."
        )
    return torch.device(config.device)


def bf16_is_fast(device: torch.device) -> bool:
    """Whether bfloat16 is sure to pay: on CUDA devices that have it in hardware.

    Many CPUs emulate it, 100 times slower. Timing it would let a busy moment decide the precision, and equal runs
    end differently; who knows the processor to be good at it sets compute.dtype.
    """
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def autocast(compute: ComputeConfig, device: torch.device) -> torch.autocast:
    """The context in which matrix products have the precision asked for."""
    bf16 = compute.dtype == "bfloat16" or (compute.dtype == "auto" and bf16_is_fast(device))
    return torch.autocast(device.type, torch.bfloat16, enabled=bf16)


@dataclass
class TrainingState:
    """What a run needs to go on where it stopped: everything else is a function of step and configuration."""

    step: int = 0
    tokens_seen: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    # with patience: of the best evaluation so far, and the number of those since
    best: float = -math.inf  # the larger, the better
    best_step: int = 0
    best_weights: dict[str, Tensor] = field(default_factory=dict)  # what is trained, on the CPU
    waited: int = 0


def trained_weights(model: nn.Module) -> dict[str, Tensor]:
    """The weights that training changes, by name, not copied; frozen ones stay what the caller made them."""
    return {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}


def load_trained(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy what `trained_weights` gave back into a model with the same ones frozen."""
    own = trained_weights(model)
    assert own.keys() == weights.keys(), own.keys() ^ weights.keys()
    for name, tensor in own.items():
        tensor.copy_(weights[name])


class Resume:
    """The training state on disk, outside what DVC tracks, replaced atomically.

    `identity` names configuration and data. With the library's source (what is trained, on which batches) and the
    version of torch it makes a fingerprint, which names the file and is also written inside it, together with a digest
    of the content. A state that another training saved, that is damaged, or whose tensors have other shapes than
    this model's is never continued. Frozen weights are not in it: the caller makes them again from what `identity`
    names. A folder serves one training: saving removes the states of earlier ones.
    """

    def __init__(self, folder: Path, **identity: Any) -> None:
        code = [path.read_text(encoding="utf-8") for path in sorted(Path(__file__).parent.rglob("*.py"))]
        text = json.dumps([identity, code, torch.__version__], sort_keys=True, default=str)
        self.folder = Path(folder)
        self.fingerprint = hashlib.sha256(text.encode()).hexdigest()
        self.path = self.folder / f"{self.fingerprint[:16]}.pt"

    def save(
        self, state: TrainingState, model: nn.Module, optimizers: Sequence[torch.optim.Optimizer]
    ) -> None:
        """Write all that `load` restores."""
        content = {
            "state": vars(state),
            "model": trained_weights(model),
            "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        }
        record = {"fingerprint": self.fingerprint, "digest": _digest(content), **content}
        with atomic_path(self.path) as temporary, open(temporary, "wb") as file, _without_crc32():
            torch.save(record, file)
        for stale in self.folder.glob("*.pt"):
            if stale != self.path and stale.is_file():
                stale.unlink()

    def load(self, model: nn.Module, optimizers: Sequence[torch.optim.Optimizer]) -> TrainingState | None:
        """Restore model and optimizers in place; None, and nothing changed, where no state fits.

        A state that does not fit is set aside with a sentence on stderr, since it would only block every later run.
        """
        for folder in (self.folder, *self.folder.parents):
            if folder.is_file():
                _set_aside(
                    folder, folder.with_name(f"{folder.name}.unfit"), "it is a file where a folder belongs"
                )
        if not os.path.lexists(self.path):
            return None
        try:
            saved = self._read()
            _compare("the model", _shapes(trained_weights(model)), _shapes(saved["model"]))
            best = saved["state"]["best_weights"]
            if best:
                _compare("the best weights", _shapes(trained_weights(model)), _shapes(best))
            _compare_optimizers(optimizers, saved["optimizers"])
        except _Unfit as error:
            _set_aside(self.path, self.folder / "state.unfit", str(error))
            return None
        load_trained(model, saved["model"])
        for optimizer, state in zip(optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        return TrainingState(**saved["state"])

    def _read(self) -> dict[str, Any]:
        """What the file holds, if this training saved it and it is whole."""
        try:
            with open(self.path, "rb") as file:
                if not zipfile.is_zipfile(file):  # torch would unpickle it
                    raise _Unfit("it is damaged or no training state")
                file.seek(0)
                saved = torch.load(file, weights_only=True, map_location="cpu")
            fingerprint, digest = saved.pop("fingerprint"), saved.pop("digest")
        except _Unfit:
            raise
        except Exception as error:  # noqa: BLE001  damaged bytes can fail in any way
            raise _Unfit(f"it cannot be read ({type(error).__name__})") from None
        if fingerprint != self.fingerprint:
            raise _Unfit("another training saved it")
        if digest != _digest(saved):
            raise _Unfit("its content is not what was saved")
        return dict(saved)

    def clear(self) -> None:
        """Forget the state, once what it was for is safely stored."""
        self.path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # another process may be writing here
            self.folder.rmdir()


class _Unfit(Exception):
    """Why a saved state cannot be continued."""


def _set_aside(path: Path, aside: Path, why: str) -> None:
    """Rename what cannot be continued; it replaces what was set aside before, so that one is kept."""
    if not os.path.lexists(path):  # another rank was faster
        return
    if aside.is_dir() and not aside.is_symlink():
        shutil.rmtree(aside)
    else:
        aside.unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):
        os.replace(path, aside)
    print(
        f"warning: the training state {path} does not fit this training: {why}; it was renamed to {aside.name}, "
        f"and training begins again at step 0.",
        file=sys.stderr,
    )


def _digest(content: Any) -> str:
    """SHA-256 of nested dicts, lists and tensors: keys, order, types, shapes and values."""
    digest = hashlib.sha256()

    def add(value: Any) -> None:
        if isinstance(value, Tensor):
            add((str(value.dtype), tuple(value.shape)))
            digest.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy().data)
        elif isinstance(value, Mapping):
            add(list(value))
            for inner in value.values():
                add(inner)
        elif isinstance(value, list | tuple):
            digest.update(f"{len(value)} of ".encode())
            for inner in value:
                add(inner)
        else:
            digest.update(f"{type(value).__name__} {value!r}\n".encode())

    add(content)
    return digest.hexdigest()


@contextlib.contextmanager
def _without_crc32() -> Iterator[None]:
    """Spare torch's checksums, which it never reads and which take as long as the digest."""
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        yield
    finally:
        torch.serialization.set_crc32_options(before)


def _shapes(tensors: Mapping[Any, Tensor]) -> dict[Any, tuple[torch.dtype, tuple[int, ...]]]:
    return {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()}


def _compare(what: str, ours: Mapping[Any, Any], saved: Mapping[Any, Any]) -> None:
    """Refuse names, types or shapes that are not ours; `copy_` would broadcast a smaller tensor."""
    if odd := sorted(str(name) for name in ours.keys() ^ saved.keys()):
        raise _Unfit(f"only one of the two has {odd[0]} in {what}")
    for name, expected in ours.items():
        if saved[name] != expected:
            raise _Unfit(f"in {what}, {name} is {_described(saved[name])} instead of {_described(expected)}")


def _described(tensor: tuple[torch.dtype, tuple[int, ...]]) -> str:
    dtype, shape = tensor
    return f"{str(dtype).removeprefix('torch.')} {list(shape)}"


def _compare_optimizers(
    optimizers: Sequence[torch.optim.Optimizer], saved: Sequence[Mapping[str, Any]]
) -> None:
    """Refuse optimizer states of other groups or shapes; `load_state_dict` compares only numbers of parameters."""
    if len(optimizers) != len(saved):
        raise _Unfit(f"it has {len(saved)} optimizers, this training {len(optimizers)}")
    for optimizer, state in zip(optimizers, saved, strict=True):
        ours = optimizer.state_dict()["param_groups"]
        if [(sorted(g), g["params"]) for g in ours] != [
            (sorted(g), g["params"]) for g in state["param_groups"]
        ]:
            raise _Unfit("its optimizer groups the parameters in another way")
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        for index, slots in state["state"].items():
            # a counter is one number; everything else has one element for each of the parameter's
            expected = parameters[index].shape
            for name, value in slots.items():
                if isinstance(value, Tensor) and value.shape not in (
                    expected,
                    *([()] if name == "step" else []),
                ):
                    raise _Unfit(f"the optimizer has {name} of parameter {index} as {list(value.shape)}")


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
    """Train `model` in place; returns the history, one row a step, without times (equal runs, equal rows).

    Args:
        objective: (model, batch) -> (sum of the loss, number of terms).
        batches: step (from 0) -> its micro-batches; a pure function, so that a resumed run reads on in the same
            place. With several ranks each returns its own share.
        seed: of dropout; the order of the batches is the business of `batches`.
        evaluate: step -> metrics, called every `eval_interval` steps and at the end; on every rank, if several.
        monitor, mode: with `patience`, the metric to be smallest or largest. The model ends with the weights of its
            best evaluation, whose step the rows of evaluations name as "best_step"; see `kept_row`. Where training
            ended for lack of a better one, the last row has "stopped_early".
        resume: where the state is kept; the run continues from it.

    With torch.distributed initialised, ranks start from the weights of rank 0 and stay equal; rank 0 logs and
    saves.

    Raises:
        BadInput: the loss or a gradient is not finite; raised before the update, so the last saved state is sound.
            There is patience, but nothing evaluates, or not what `monitor` names.
    """
    if config.patience is not None and evaluate is None:
        raise BadInput(
            f"{description}: patience is {config.patience}, but this training evaluates nothing that could get better; "
            f"set its patience to null."
        )
    device = next(model.parameters()).device
    rank = dist.get_rank() if _distributed() else 0
    optimizers = make_optimizers(model, config.optimizer)
    state = (resume.load(model, optimizers) if resume else None) or TrainingState()
    if _distributed():
        for tensor in model.state_dict().values():
            dist.broadcast(tensor, 0)
    parameters = [p for p in model.parameters() if p.requires_grad]
    precision = autocast(compute, device)
    runnable: Any = torch.compile(model) if compute.compile else model
    warmup = config.optimizer.warmup_steps / config.max_steps
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
            model.train()
            # dropout is a function of the step, and differs between ranks
            torch.manual_seed(((seed * 1_000_003 + state.step) * 1_009 + rank) % 2**63)
            progress = (state.step + 0.5) / config.max_steps  # the middle: no step at rate 0
            if config.max_seconds is not None:
                progress = max(progress, state.seconds / config.max_seconds)
            scale = lr_scale(progress, warmup, config.optimizer.decay)
            set_lr(optimizers, scale)
            loss, count, tokens = _gradients(runnable, objective, batches(state.step), device, precision)
            gradients = [p.grad for p in parameters if p.grad is not None]
            norm = float(nn.utils.get_total_norm(gradients)) / count
            if not math.isfinite(loss) or not math.isfinite(norm):
                raise BadInput(
                    f"{description}: the loss is {loss} and the gradient norm {norm} at step {state.step + 1}; "
                    f"nothing was updated; lower optimizer.max_lr or set grad_clip."
                )
            # from sum to mean and down to the norm allowed, in one pass over memory
            torch._foreach_mul_(gradients, min(1.0, (config.grad_clip or math.inf) / max(norm, 1e-6)) / count)
            row = {"train/loss": loss, "lr": config.optimizer.max_lr * scale, "grad_norm": norm}
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            state.step += 1
            state.tokens_seen += tokens
            row |= {"step": state.step, "tokens_seen": state.tokens_seen}
            now = time.perf_counter()
            seconds, clock = _slowest(now - clock, device), now
            state.seconds += seconds
            if evaluate and (
                _finished(state, config) or (config.eval_interval and state.step % config.eval_interval == 0)
            ):
                model.eval()
                with torch.inference_mode():
                    row |= {name: float(value) for name, value in evaluate(state.step).items()}
                if config.patience is not None:
                    _keep_best(state, model, row, monitor, mode)
                clock = time.perf_counter()  # evaluation does not count as training time
            if _out_of_patience(state, config):
                row["stopped_early"] = 1
            state.history.append(row)
            if rank == 0:
                log(
                    {k: v for k, v in row.items() if k != "step"} | {"tokens_per_second": tokens / seconds},
                    state.step,
                )
            bar.update()
            bar.set_postfix(loss=f"{loss:.3f}", tok_s=f"{tokens / seconds:.0f}", refresh=False)
            if (
                resume
                and rank == 0
                and not _finished(state, config)
                and config.checkpoint_interval
                and state.step % config.checkpoint_interval == 0
            ):
                resume.save(state, model, optimizers)
                clock = time.perf_counter()  # nor does saving
        if _out_of_patience(state, config):
            bar.set_postfix_str(
                f"stopped early: {monitor} was best at step {state.best_step}, and no better in the {state.waited} "
                f"evaluations since"
            )
    if state.best_weights:
        load_trained(model, state.best_weights)
    model.eval()
    return state.history


def kept_row(history: Sequence[Mapping[str, float]]) -> Mapping[str, float]:
    """The row of the step whose weights `fit` left in the model: the last one, or with patience the best."""
    step = history[-1].get("best_step", history[-1]["step"])
    return next(row for row in history if row["step"] == step)


def _keep_best(
    state: TrainingState, model: nn.Module, row: dict[str, float], monitor: str, mode: Literal["min", "max"]
) -> None:
    """Compare an evaluation with the best so far, and keep the weights if it is better."""
    if monitor not in row:
        raise BadInput(
            f"patience waits for a better {monitor}, which is not evaluated; there are: {', '.join(sorted(row))}."
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
    model: nn.Module,
    objective: Objective,
    micro_batches: Sequence[TrainingBatch],
    device: torch.device,
    precision: torch.autocast,
) -> tuple[float, float, int]:
    """Sum the gradients of one step over its micro-batches and over all ranks.

    Returns (mean loss, number of terms, tokens read) of the whole step.
    """
    totals = torch.zeros(3, device=device, dtype=torch.float32)  # loss sum, count, tokens
    for batch in micro_batches:
        batch = batch.to(device)
        with precision:
            loss, count = objective(model, batch)
        loss.backward()
        totals += torch.stack([loss.detach().float(), count.to(totals), totals.new_tensor(batch.tokens)])
    if _distributed():
        dist.all_reduce(totals)
        for p in model.parameters():
            if p.grad is not None:
                dist.all_reduce(p.grad)
    loss_sum, count_sum, tokens_sum = totals.tolist()
    return loss_sum / max(count_sum, 1e-9), max(count_sum, 1e-9), int(tokens_sum)


def _distributed() -> bool:
    return dist.is_available() and dist.is_initialized()


def _slowest(seconds: float, device: torch.device) -> float:
    """The longest time of any rank, so that all of them leave a time budget after the same step."""
    if not _distributed():
        return seconds
    longest = torch.tensor(seconds, device=device)
    dist.all_reduce(longest, dist.ReduceOp.MAX)
    return float(longest)


def _finished(state: TrainingState, config: TrainingConfig) -> bool:
    """Whether steps, time or patience are used up."""
    out_of_time = config.max_seconds is not None and state.seconds >= config.max_seconds
    return state.step >= config.max_steps or out_of_time or _out_of_patience(state, config)


def _out_of_patience(state: TrainingState, config: TrainingConfig) -> bool:
    return config.patience is not None and state.waited >= config.patience
