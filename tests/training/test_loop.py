import math
import os
import pickle
import random
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from safetensors.torch import save
from torch import Tensor, nn

from groundup.errors import BadInput
from groundup.nn.decoder import Decoder
from groundup.training import loop as training
from groundup.training.batching import Batches, window_batches
from groundup.training.config import ComputeConfig, TrainingConfig
from groundup.training.devices import bf16_is_fast, pick_device
from groundup.training.loop import fit, kept_row
from groundup.training.objectives import Batch, causal_lm
from groundup.training.resume import Resume
from tests.tiny import ADAMW, CPU, MUON, model_config, randomised, training_config

DROPOUT = model_config(dropout=0.1)  # its random numbers must survive an interruption too


def stream(vocab_size: int = 11, n: int = 400) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).integers(vocab_size, size=n).astype(np.uint16)


def new_model(**changes: Any) -> Decoder:
    torch.manual_seed(0)
    return Decoder(replace(DROPOUT, **changes))


def batches_of(config: TrainingConfig, ids: np.ndarray[Any, Any] | None = None) -> Batches:
    ids = stream() if ids is None else ids
    return window_batches(ids, 12, config.batch_size, config.grad_accum_steps, seed=3)


def nowhere(metrics: Mapping[str, float], step: int) -> None:
    pass


def train(
    config: TrainingConfig, model: Decoder | None = None, **others: Any
) -> tuple[Decoder, list[dict[str, float]]]:
    model = model or new_model()
    arguments: dict[str, Any] = {"seed": 3, "log": nowhere, **others}
    return model, fit(model, causal_lm, batches_of(config), config, CPU, **arguments)


def weights(model: Decoder) -> dict[str, Tensor]:
    return {name: t.clone() for name, t in model.state_dict().items()}


def assert_same(a: Decoder, b: Decoder) -> None:
    for name, tensor in a.state_dict().items():
        assert torch.equal(tensor, b.state_dict()[name]), name


@pytest.mark.parametrize("optimizer", [MUON, replace(ADAMW, max_lr=3e-3)])
def test_learns_a_sequence_that_repeats(optimizer: Any) -> None:
    # Twelve tokens, each as often as the others: guessing by frequency costs ln 12 nats, knowing the order nothing.
    ids = np.tile(np.arange(12), 40)
    config = training_config(max_steps=60, batch_size=8, optimizer=optimizer)
    model = new_model(vocab_size=12, dropout=0.0)
    history = fit(model, causal_lm, batches_of(config, ids), config, CPU, seed=3, log=nowhere)
    assert history[0]["train/loss"] == pytest.approx(math.log(12), abs=1e-4)
    assert history[-1]["train/loss"] < 0.05 * math.log(12)


GOLDEN = {
    "adamw": [2.397895, 2.396490, 2.391863, 2.391816, 2.382178],
    "muon": [2.397895, 2.396490, 2.406746, 2.390989, 2.372698],
}


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_losses_of_a_seed_stay_what_they_were(kind: str) -> None:
    config = training_config(max_steps=5, optimizer=replace(ADAMW, kind=kind))
    _, history = train(config, new_model(dropout=0.0))
    assert [row["train/loss"] for row in history] == pytest.approx(GOLDEN[kind], abs=1e-4)


class Doubling(nn.Module):
    """One number to be learned, and a batch of another kind than the house's."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.zeros(()))


@dataclass(frozen=True)
class Numbers:
    values: Tensor

    @property
    def tokens(self) -> int:
        return 3

    def to(self, device: torch.device) -> "Numbers":
        return Numbers(self.values.to(device))


def test_any_batch_that_moves_and_counts_its_tokens_will_do() -> None:
    def squares(model: Doubling, batch: Numbers) -> tuple[Tensor, Tensor]:
        return ((model.factor - 2) * batch.values).square().sum(), torch.tensor(len(batch.values))

    config = training_config(max_steps=50, optimizer=replace(ADAMW, kind="sgd", head_lr=0.1, momentum=0.0))
    model = Doubling()
    batch = Numbers(torch.tensor([1.0, 2.0]))
    history = fit(model, squares, lambda step: [batch, batch], config, CPU, seed=1, log=nowhere)
    assert float(model.factor.detach()) == pytest.approx(2.0, abs=1e-2)
    assert history[-1]["tokens_seen"] == 50 * 2 * 3


def test_accumulated_gradients_equal_those_of_one_big_batch() -> None:
    models = []
    for batch_size, accumulate in ((4, 1), (2, 2), (1, 4)):
        config = training_config(max_steps=4, batch_size=batch_size, grad_accum_steps=accumulate)
        models.append(train(config, new_model(dropout=0.0)))
    for model, history in models[1:]:
        assert [row["train/loss"] for row in history] == pytest.approx(
            [row["train/loss"] for row in models[0][1]], abs=1e-6
        )
        for name, tensor in model.state_dict().items():
            torch.testing.assert_close(tensor, models[0][0].state_dict()[name], atol=1e-4, rtol=1e-3)


class Interrupted(Exception):
    pass


def interrupt_at(step: int) -> Any:
    def log(metrics: Mapping[str, float], at: int) -> None:
        if at == step:
            raise Interrupted

    return log


@pytest.mark.parametrize("optimizer", [ADAMW, MUON])
def test_resumed_equals_uninterrupted_bit_for_bit(tmp_path: Path, optimizer: Any) -> None:
    config = training_config(checkpoint_interval=2, eval_interval=3, grad_accum_steps=2, optimizer=optimizer)

    def evaluate(step: int) -> dict[str, float]:
        torch.rand(step)  # may use random numbers without changing the training
        return {"val/loss": 1.0 / step}

    expected, expected_history = train(config, evaluate=evaluate)
    for attempt in range(3):
        folder = tmp_path / str(attempt)
        first = random.Random(attempt).randint(1, 11)
        second = random.Random(attempt + 10).randint(first, 12)
        for stop in (first, second):
            with pytest.raises(Interrupted):
                train(config, evaluate=evaluate, resume=Resume(folder, config=config), log=interrupt_at(stop))
        steps: list[int] = []
        resume = Resume(folder, config=config)
        model, history = train(
            config, evaluate=evaluate, resume=resume, log=lambda metrics, step, seen=steps: seen.append(step)
        )
        assert steps[0] == (second - 1) // 2 * 2 + 1  # went on after the last state saved
        assert_same(model, expected)
        assert history == expected_history
        resume.clear()
        assert not folder.exists()


LOSSES = {2: 3.0, 4: 2.0, 6: math.nan, 8: 2.5, 10: 2.0, 12: 1.0}  # at each step that evaluates


def patient(patience: int | None = 3, **changes: Any) -> TrainingConfig:
    return training_config(
        **{"max_steps": 12, "eval_interval": 2, "checkpoint_interval": 1, "patience": patience, **changes}
    )


@pytest.mark.parametrize(("sign", "mode"), [(1, "min"), (-1, "max")])
def test_stops_when_evaluations_get_no_better_and_keeps_the_best_weights(
    sign: int, mode: str, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: dict[int, dict[str, Tensor]] = {}
    model = new_model()

    def evaluate(step: int) -> dict[str, float]:
        seen[step] = weights(model)
        return {"val/loss": sign * LOSSES[step]}

    _, history = train(patient(), model, evaluate=evaluate, mode=mode)
    assert list(seen) == [2, 4, 6, 8, 10]  # three evaluations after the best: nan, worse, as good
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, seen[4][name]), name
    assert not torch.equal(model.wte.weight, seen[10]["wte.weight"])
    assert [row.get("best_step") for row in history if "val/loss" in row] == [2, 4, 4, 4, 4]
    assert [row.get("stopped_early") for row in history] == [None] * 9 + [1]
    assert kept_row(history) == history[3]
    words = "stopped early: val/loss was best at step 4, and no better in the 3 evaluations since"
    assert words in capsys.readouterr().err


def test_patience_that_lasts_to_the_end_keeps_the_best_all_the_same() -> None:
    _, history = train(patient(4), evaluate=lambda step: {"val/loss": LOSSES[step]})
    assert len(history) == 12 and "stopped_early" not in history[-1]
    assert kept_row(history) is history[-1]
    model, rising = train(patient(6), evaluate=lambda step: {"val/loss": float(step)})
    expected, _ = train(patient(6, max_steps=12), evaluate=lambda step: {"val/loss": -float(step)})
    assert len(rising) == 12 and kept_row(rising) is rising[1]
    assert not torch.equal(model.wte.weight, expected.wte.weight)


def test_without_patience_the_last_weights_are_kept() -> None:
    model, history = train(patient(None), evaluate=lambda step: {"val/loss": float(step)})
    expected, plain = train(training_config())
    assert_same(model, expected)
    assert not any("best_step" in row for row in history)
    assert [row["train/loss"] for row in history] == [row["train/loss"] for row in plain]
    assert kept_row(history) is history[-1]


@pytest.mark.parametrize("stop", [3, 5, 6, 8, 9])
def test_early_stopping_survives_an_interruption_bit_for_bit(stop: int, tmp_path: Path) -> None:
    def evaluate(step: int) -> dict[str, float]:
        return {"val/loss": {**LOSSES, 6: 2.2}[step]}

    expected, expected_history = train(patient(), evaluate=evaluate)
    with pytest.raises(Interrupted):
        train(patient(), evaluate=evaluate, resume=Resume(tmp_path), log=interrupt_at(stop))
    resumed, history = train(patient(), evaluate=evaluate, resume=Resume(tmp_path))
    assert_same(resumed, expected)
    assert history == expected_history
    assert len(history) == 10


def test_patience_needs_something_that_can_get_better() -> None:
    with pytest.raises(BadInput, match="patience is 3, but this training evaluates nothing"):
        train(patient())
    with pytest.raises(
        BadInput, match=r"a better val/loss, which is not evaluated; there are: .*val/accuracy"
    ):
        train(patient(), evaluate=lambda step: {"val/accuracy": 1.0})


def test_the_state_holds_only_what_is_trained(tmp_path: Path) -> None:
    def partly_frozen() -> Decoder:
        model = new_model()
        model.requires_grad_(False)
        model.h[1].requires_grad_(True)
        return model

    config, resume = patient(), Resume(tmp_path)
    arguments: dict[str, Any] = {"evaluate": lambda step: {"val/loss": 1 / step}, "resume": resume}
    expected, _ = train(config, partly_frozen(), **{**arguments, "resume": None})
    with pytest.raises(Interrupted):
        train(config, partly_frozen(), **arguments, log=interrupt_at(6))
    saved = torch.load(resume.path, weights_only=True)
    trained = {name for name, _ in expected.named_parameters() if name.startswith("h.1.")}
    assert saved["model"].keys() == saved["state"]["best_weights"].keys() == trained
    resumed, _ = train(config, partly_frozen(), **arguments)
    assert_same(resumed, expected)


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from groundup.training.resume import Resume
from tests.training.test_loop import train, training_config
config = training_config(checkpoint_interval=1)
def log(metrics, step):
    if step == 7:
        os.kill(os.getpid(), signal.SIGKILL)
train(config, log=log, resume=Resume(Path(sys.argv[1]), config=config))
"""


def test_killed_and_run_again_ends_with_the_same_bytes(tmp_path: Path) -> None:
    root, folder = Path(__file__).parents[2], tmp_path / "state"
    child = subprocess.run(
        [sys.executable, "-c", KILLED, str(folder)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{root / 'src'}"},
        stderr=subprocess.DEVNULL,
        check=False,
    )
    assert child.returncode == -signal.SIGKILL
    config = training_config(checkpoint_interval=1)
    steps: list[int] = []
    resume = Resume(folder, config=config)
    resumed, _ = train(config, resume=resume, log=lambda metrics, step: steps.append(step))
    assert steps == [7, 8, 9, 10, 11, 12]
    whole, _ = train(config)
    assert save(resumed.state_dict()) == save(whole.state_dict())


def test_a_state_of_another_configuration_or_code_is_not_continued(tmp_path: Path) -> None:
    config = training_config(checkpoint_interval=1)
    old = Resume(tmp_path, config=config, data="a")
    with pytest.raises(Interrupted):
        train(config, resume=old, log=interrupt_at(5))
    assert old.path.exists()
    assert Resume(tmp_path, data="a", config=training_config(checkpoint_interval=1)).path == old.path
    for identity in ({"config": replace(config, max_steps=9), "data": "a"}, {"config": config, "data": "b"}):
        other = Resume(tmp_path, **identity)
        assert other.path != old.path
        steps: list[int] = []
        with pytest.raises(Interrupted):
            train(
                config, resume=other, log=lambda m, step, s=steps: (s.append(step), interrupt_at(3)(m, step))
            )
        assert steps == [1, 2, 3]
        assert [path.name for path in tmp_path.iterdir()] == [other.path.name]  # the stale one is gone


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4000])


def one_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def folder_in_its_place(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "file").write_text("")


def resaved(change: Callable[[dict[str, Any]], None], with_digest: bool = True) -> Callable[[Path], None]:
    """A damage to the content, in a file that is whole and, if asked for, carries the digest of that content."""

    def damage(path: Path) -> None:
        record = torch.load(path, weights_only=True)
        content = {name: record[name] for name in ("state", "model", "optimizers")}
        change(content)
        digest = training._digest(content) if with_digest else record["digest"]
        torch.save({"fingerprint": record["fingerprint"], "digest": digest, **content}, path)

    return damage


def first_rows(content: dict[str, Any]) -> None:
    content["model"] = {name: t[:1].clone() for name, t in content["model"].items()}


def first_rows_of_momenta(content: dict[str, Any]) -> None:
    for optimizer in content["optimizers"]:
        for slots in optimizer["state"].values():
            slots |= {name: t[:1].clone() for name, t in slots.items() if t.ndim}


def zeros(content: dict[str, Any]) -> None:
    for tensor in content["model"].values():
        tensor.zero_()


DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "empty": (lambda path: path.write_bytes(b""), "damaged or no training state"),
    "random": (
        lambda path: path.write_bytes(random.Random(0).randbytes(5000)),
        "damaged or no training state",
    ),
    "a pickle": (lambda path: path.write_bytes(pickle.dumps({"state": 1})), "damaged or no training state"),
    "truncated": (truncate, "damaged or no training state"),
    "one bit": (one_byte, "its content is not what was saved|cannot be read"),
    "no state": (lambda path: torch.save([1], path), "cannot be read"),
    "zeros": (resaved(zeros, with_digest=False), "its content is not what was saved"),
    "first rows": (resaved(first_rows), r"in the model, .* is float32 \[1"),
    "first rows of momenta": (resaved(first_rows_of_momenta), r"the optimizer has \w+ of parameter 0 as \[1"),
    "a tensor less": (resaved(lambda content: content["model"].popitem()), "only one of the two has"),
    "half precision": (
        resaved(lambda content: content["model"].update({k: t.half() for k, t in content["model"].items()})),
        "is float16",
    ),
    "an optimizer less": (resaved(lambda content: content["optimizers"].pop()), "it has 1 optimizers"),
    "a folder": (folder_in_its_place, "cannot be read"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_state_that_does_not_fit_is_set_aside_and_training_begins_again(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = training_config(checkpoint_interval=1)
    expected, expected_history = train(config)
    spoil, why = DAMAGES[damage]
    for _ in range(2):  # what was set aside before is in nobody's way
        with pytest.raises(Interrupted):
            train(config, resume=Resume(tmp_path, config=config), log=interrupt_at(6))
        spoil(Resume(tmp_path, config=config).path)
        capsys.readouterr()
        resume = Resume(tmp_path, config=config)
        model, history = train(config, resume=resume)
        assert_same(model, expected)
        assert history == expected_history
        [warning] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
        assert str(resume.path) in warning
        assert re.search(why, warning), warning
        resume.clear()
        assert [path.name for path in tmp_path.iterdir()] == ["state.unfit"]


def test_the_state_of_another_training_under_this_name_is_set_aside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = training_config(checkpoint_interval=1)
    expected, _ = train(config)
    ours, theirs = Resume(tmp_path / "a", data="a"), Resume(tmp_path / "b", data="b")
    with pytest.raises(Interrupted):
        train(config, randomised(new_model(), 5), resume=theirs, log=interrupt_at(6))
    ours.folder.mkdir()
    theirs.path.rename(ours.path)
    model, _ = train(config, resume=ours)
    assert_same(model, expected)
    assert "another training saved it" in capsys.readouterr().err


def test_a_file_where_the_folder_belongs_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("no folder")
    resume = Resume(tmp_path / "state" / "seed_1")
    with pytest.raises(Interrupted):
        train(training_config(checkpoint_interval=1), resume=resume, log=interrupt_at(3))
    assert resume.path.is_file()
    assert (tmp_path / "state.unfit").read_text() == "no folder"


@pytest.mark.parametrize("what", ["loss", "gradient"])
@pytest.mark.parametrize("grad_clip", [0.0, 1.0])
def test_what_is_not_finite_stops_before_the_update(what: str, grad_clip: float, tmp_path: Path) -> None:
    config = training_config(grad_clip=grad_clip, checkpoint_interval=1)
    calls, snapshots = [0], [{}]

    def objective(model: Decoder, batch: Batch) -> tuple[Tensor, Tensor]:
        calls[0] += 1
        loss, count = causal_lm(model, batch)
        if calls[0] == 4:
            snapshots.append(weights(model))
            wrong = model.wte.weight[0, 0]
            # the root of zero has a finite value and an infinite slope
            loss = loss * math.nan if what == "loss" else loss + (wrong - wrong.detach()).abs().sqrt()
        return loss, count

    model = new_model()
    resume = Resume(tmp_path, what=what)
    with pytest.raises(BadInput, match=r"training: the loss is .* at step 4; nothing was updated"):
        fit(model, objective, batches_of(config), config, CPU, seed=3, log=nowhere, resume=resume)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, snapshots[-1][name])
    saved = torch.load(resume.path, weights_only=True)
    assert saved["state"]["step"] == 3
    for name, tensor in saved["model"].items():
        assert torch.equal(tensor, snapshots[-1][name])


def test_a_time_budget_ends_the_run_with_a_last_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]

    def tick() -> float:
        clock[0] += 1.0
        return clock[0]

    monkeypatch.setattr("groundup.training.loop.time.perf_counter", tick)
    config = training_config(
        max_steps=1000, max_seconds=5.0, optimizer=replace(MUON, warmup_steps=0, decay_share=1.0)
    )
    evaluated: list[int] = []
    _, history = train(config, evaluate=lambda step: evaluated.append(step) or {"val/loss": 0.0})
    assert len(history) == 5
    assert evaluated == [5]
    assert "val/loss" in history[-1]
    # the learning rate falls with the time, not with the thousand steps
    assert [row["lr"] for row in history] == pytest.approx(
        [MUON.max_lr * s for s in (0.9995, 0.8, 0.6, 0.4, 0.2)]
    )


@pytest.mark.parametrize(("interval", "expected"), [(0, [12]), (5, [5, 10, 12]), (4, [4, 8, 12])])
def test_evaluates_on_schedule_and_at_the_end(interval: int, expected: list[int]) -> None:
    evaluated: list[int] = []
    modes: list[bool] = []
    model = new_model()

    def evaluate(step: int) -> dict[str, float]:
        evaluated.append(step)
        modes.append(model.training or torch.is_grad_enabled())
        return {"val/loss": float(step)}

    logged: dict[int, dict[str, float]] = {}
    _, history = train(
        training_config(eval_interval=interval),
        model,
        evaluate=evaluate,
        log=lambda metrics, step: logged.update({step: dict(metrics)}),
    )
    assert evaluated == expected
    assert not any(modes)
    assert not model.training
    assert [row["step"] for row in history if "val/loss" in row] == expected
    assert list(logged) == list(range(1, 13))
    assert {"train/loss", "lr", "grad_norm", "tokens_seen", "tokens_per_second"} <= logged[1].keys()
    assert history[-1]["tokens_seen"] == 12 * 2 * 12
    assert "tokens_per_second" not in history[-1]  # equal runs, equal rows


def test_gradients_are_clipped_to_the_norm_asked_for() -> None:
    # One AdamW step is blind to scale, so look at the gradients as the optimizer gets them.
    seen: list[float] = []
    original = torch.optim.AdamW.step

    def spy(self: Any, *args: Any) -> Any:
        grads = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
        seen.append(float(torch.stack([g.norm() for g in grads]).norm()))
        return original(self, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", spy)
        for clip in (0.0, 0.01):
            _, history = train(training_config(max_steps=1, grad_clip=clip, optimizer=ADAMW))
    assert seen[0] == pytest.approx(history[0]["grad_norm"], rel=1e-4)
    assert seen[1] == pytest.approx(0.01, rel=1e-3)


def train_as_rank(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    rendezvous = f"file://{folder}/rendezvous"
    dist.init_process_group(
        "gloo", init_method=rendezvous, rank=rank, world_size=2, timeout=timedelta(seconds=60)
    )
    config = training_config(max_steps=4, batch_size=2, checkpoint_interval=2)
    model = new_model(dropout=0.0)
    if rank:  # ranks are made equal, whatever they start with
        torch.nn.init.ones_(model.wte.weight)
    logged: list[int] = []
    resume = Resume(folder / f"state_{rank}")
    _, history = train(config, model, log=lambda metrics, step: logged.append(step), resume=resume)
    torch.save({"model": model.state_dict(), "history": history, "logged": logged}, folder / f"{rank}.pt")
    dist.destroy_process_group()


def test_two_ranks_equal_one_with_twice_the_batch(tmp_path: Path) -> None:
    other = torch.multiprocessing.get_context("spawn").Process(target=train_as_rank, args=(1, tmp_path))
    other.start()
    train_as_rank(0, tmp_path)
    other.join()
    ranks = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    model, history = train(training_config(max_steps=4, batch_size=4), new_model(dropout=0.0))
    assert ranks[0]["history"] == ranks[1]["history"]
    assert [row["train/loss"] for row in ranks[0]["history"]] == pytest.approx(
        [row["train/loss"] for row in history], abs=1e-6
    )
    assert [row["tokens_seen"] for row in ranks[0]["history"]] == [row["tokens_seen"] for row in history]
    for name, tensor in model.state_dict().items():
        assert torch.equal(ranks[0]["model"][name], ranks[1]["model"][name])
        torch.testing.assert_close(ranks[0]["model"][name], tensor, atol=1e-4, rtol=1e-3)
    assert [rank["logged"] for rank in ranks] == [[1, 2, 3, 4], []]
    assert (tmp_path / "state_0").exists()
    assert not (tmp_path / "state_1").exists()


def test_device_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    threads: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    assert pick_device(replace(CPU, device="auto", threads=3)) == torch.device("cpu")
    assert threads == [3]
    for device in ("cuda", "mps"):
        with pytest.raises(BadInput, match=f"compute.device is {device}.*choose auto or one of: cpu"):
            pick_device(replace(CPU, device=device))  # type: ignore[arg-type]
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert pick_device(replace(CPU, device="auto")).type == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device(replace(CPU, device="auto")).type == "cuda"


def test_precision_is_not_a_matter_of_timing() -> None:
    assert not bf16_is_fast(torch.device("cpu"))


def test_trains_in_bfloat16_with_float32_weights() -> None:
    compute = ComputeConfig(device="cpu", dtype="bfloat16", threads=1, compile=False)
    config = training_config(max_steps=4)
    model = new_model(dropout=0.0)
    history = fit(model, causal_lm, batches_of(config), config, compute, seed=3, log=nowhere)
    _, exact = train(config, new_model(dropout=0.0))
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert [row["train/loss"] for row in history] == pytest.approx(
        [row["train/loss"] for row in exact], abs=0.05
    )
    assert [row["train/loss"] for row in history] != [row["train/loss"] for row in exact]
