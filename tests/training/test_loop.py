import math
import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from groundup.errors import BadInput
from groundup.nn.decoder import Decoder
from groundup.training import devices
from groundup.training.config import ComputeConfig, Decay
from groundup.training.loop import best_row, fit
from groundup.training.objectives import Batch, causal_lm
from groundup.training.resume import Resume
from tests.tiny import ADAMW, CPU, MUON, SGD, training_config
from tests.training.toy import (
    Interrupted,
    assert_same,
    batches_of,
    interrupt_at,
    new_model,
    nowhere,
    patient,
    train,
    weights,
)


@pytest.mark.parametrize("optimizer", [MUON, replace(ADAMW, max_lr=3e-3, embedding_lr=1e-2, head_lr=1e-2)])
def test_learns_a_sequence_that_repeats(optimizer: Any) -> None:
    # Twelve equally frequent tokens: predicting by frequency costs ln 12 nats, knowing the order costs nothing.
    ids = np.tile(np.arange(12), 40)
    config = training_config(max_steps=60, batch_size=8, optimizer=optimizer)
    model = new_model(vocab_size=12, dropout=0.0)
    history = fit(model, causal_lm, batches_of(config, ids), config, CPU, seed=3, log=nowhere)
    assert history[0]["train/loss"] == pytest.approx(math.log(12), abs=1e-4)
    assert history[-1]["train/loss"] < 0.05 * math.log(12)


GOLDEN = {
    "adamw": [2.397895, 2.396467, 2.391931, 2.392972, 2.405854],
    "muon": [2.397895, 2.396467, 2.398547, 2.390879, 2.406167],
}


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_losses_of_a_seed_do_not_change(kind: str) -> None:
    config = training_config(max_steps=5, optimizer={"adamw": ADAMW, "muon": MUON}[kind])
    _, history = train(config, new_model(dropout=0.0))
    assert [row["train/loss"] for row in history] == pytest.approx(GOLDEN[kind], abs=1e-4)


class Doubling(nn.Module):
    """A model with one parameter, for a batch of another type."""

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


def squares(model: Doubling, batch: Numbers) -> tuple[Tensor, Tensor]:
    return ((model.factor - 2) * batch.values).square().sum(), torch.tensor(len(batch.values))


def test_any_batch_with_to_and_tokens_can_be_trained_on() -> None:
    config = training_config(max_steps=50, optimizer=replace(SGD, head_lr=0.1, momentum=0.0))
    model = Doubling()
    batch = Numbers(torch.tensor([1.0, 2.0]))
    history = fit(model, squares, lambda step: [batch, batch], config, CPU, seed=1, log=nowhere)
    assert float(model.factor.detach()) == pytest.approx(2.0, abs=1e-2)
    assert history[-1]["tokens_seen"] == 50 * 2 * 3


@pytest.mark.parametrize("parts", [[[], [1.0, 2.0, 3.0], [2.0]], [[1.0, 2.0, 3.0], [2.0], []]])
def test_micro_batches_count_by_their_number_of_terms(parts: list[list[float]]) -> None:
    config = training_config(max_steps=3, optimizer=replace(SGD, head_lr=0.1, momentum=0.0))
    found, expected = (
        fit(Doubling(), squares, lambda step, batches=batches: batches, config, CPU, seed=1, log=nowhere)
        for batches in (
            [Numbers(torch.tensor(p)) for p in parts],
            [Numbers(torch.tensor([1.0, 2.0, 3.0, 2.0]))],
        )
    )
    for name in ("train/loss", "grad_norm"):
        assert [row[name] for row in found] == pytest.approx([row[name] for row in expected], rel=1e-5)


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


@pytest.mark.parametrize("optimizer", [ADAMW, MUON, replace(MUON, ngram_lr=0.05)])
def test_resumed_equals_uninterrupted_bit_for_bit(tmp_path: Path, optimizer: Any) -> None:
    config = training_config(checkpoint_interval=2, eval_interval=3, grad_accum_steps=2, optimizer=optimizer)

    def evaluate(step: int) -> dict[str, float]:
        torch.rand(step)  # using random numbers must not change the training
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
        assert steps[0] == (second - 1) // 2 * 2 + 1  # continued after the last saved state
        assert_same(model, expected)
        assert history == expected_history
        resume.clear()
        assert not folder.exists()


LOSSES = {2: 3.0, 4: 2.0, 6: math.nan, 8: 2.5, 10: 2.0, 12: 1.0}  # at each step that evaluates


@pytest.mark.parametrize(("sign", "mode"), [(1, "min"), (-1, "max")])
def test_stops_when_evaluations_stop_improving_and_keeps_the_best_weights(
    sign: int, mode: str, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: dict[int, dict[str, Tensor]] = {}
    model = new_model()

    def evaluate(step: int) -> dict[str, float]:
        seen[step] = weights(model)
        return {"val/loss": sign * LOSSES[step]}

    _, history = train(patient(), model, evaluate=evaluate, mode=mode)
    assert list(seen) == [2, 4, 6, 8, 10]  # three evaluations after the best one: nan, worse, equal
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, seen[4][name]), name
    assert not torch.equal(model.wte.weight, seen[10]["wte.weight"])
    assert [row.get("best_step") for row in history if "val/loss" in row] == [2, 4, 4, 4, 4]
    assert [row.get("stopped_early") for row in history] == [None] * 9 + [1]
    assert best_row(history) == history[3]
    words = "stopped early: val/loss was best at step 4 and has not improved in the 3 evaluations since"
    assert words in capsys.readouterr().err


def test_the_best_weights_are_kept_even_if_patience_lasts_to_the_end() -> None:
    _, history = train(patient(4), evaluate=lambda step: {"val/loss": LOSSES[step]})
    assert len(history) == 12 and "stopped_early" not in history[-1]
    assert best_row(history) is history[-1]
    model, rising = train(patient(6), evaluate=lambda step: {"val/loss": float(step)})
    expected, _ = train(patient(6, max_steps=12), evaluate=lambda step: {"val/loss": -float(step)})
    assert len(rising) == 12 and best_row(rising) is rising[1]
    assert not torch.equal(model.wte.weight, expected.wte.weight)


def test_without_patience_the_last_weights_are_kept() -> None:
    model, history = train(patient(None), evaluate=lambda step: {"val/loss": float(step)})
    expected, plain = train(training_config())
    assert_same(model, expected)
    assert not any("best_step" in row for row in history)
    assert [row["train/loss"] for row in history] == [row["train/loss"] for row in plain]
    assert best_row(history) is history[-1]


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


def test_patience_needs_an_evaluation_of_the_monitored_metric() -> None:
    with pytest.raises(BadInput, match="patience is 3, but this training evaluates nothing"):
        train(patient())
    with pytest.raises(
        BadInput, match=r"a better val/loss, which is not evaluated; expected one of .*val/accuracy"
    ):
        train(patient(), evaluate=lambda step: {"val/accuracy": 1.0})


@pytest.mark.parametrize("what", ["loss", "gradient"])
@pytest.mark.parametrize("grad_clip", [0.0, 1.0])
def test_a_loss_or_gradient_that_is_not_finite_stops_before_the_update(
    what: str, grad_clip: float, tmp_path: Path
) -> None:
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
    with pytest.raises(
        BadInput,
        match=r"training: the loss is .* at step 4; expected finite numbers, so this step was not applied",
    ):
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
        max_steps=1000,
        max_seconds=5.0,
        optimizer=replace(MUON, warmup_steps=0, decay=Decay("linear", 1.0, 0.0)),
    )
    evaluated: list[int] = []
    _, history = train(config, evaluate=lambda step: evaluated.append(step) or {"val/loss": 0.0})
    assert len(history) == 5
    assert evaluated == [5]
    assert "val/loss" in history[-1]
    # the learning rate decays with time, not with the thousand steps
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
    assert {"train/loss", "lr", "grad_norm", "tokens_seen", "tokens_per_second", "flop", "mfu"} <= logged[
        1
    ].keys()
    assert history[-1]["tokens_seen"] == 12 * 2 * 12
    assert not {"tokens_per_second", "flop", "mfu"} & history[-1].keys()  # equal runs, equal rows


def test_the_floating_point_operations_of_every_step_are_logged() -> None:
    def squares(model: nn.Linear, batch: Numbers) -> tuple[Tensor, Tensor]:
        return model(batch.values).square().sum(), torch.tensor(len(batch.values))

    config = training_config(max_steps=4, optimizer=SGD)
    batch, logged = Numbers(torch.ones(3, 8)), list[float]()
    fit(
        nn.Linear(8, 5, bias=False),
        squares,
        lambda step: [batch] * (2 if step == 3 else 1),
        config,
        CPU,
        seed=1,
        log=lambda row, step: logged.append(row["flop"]),
    )
    one = 2 * 2 * 3 * 8 * 5  # the outputs and the gradient of the weights: two products of 3, 8 and 5
    assert logged == [one, one, one, 2 * one]


def test_no_step_uses_more_than_the_peak_if_that_was_measured_on_a_busy_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(devices, "PEAKS", {})
    monkeypatch.setattr(devices, "_measure_matmul", lambda device, dtype: 1.0)
    logged: list[float] = []
    train(training_config(), new_model(), log=lambda metrics, step: logged.append(metrics["mfu"]))
    assert logged[0] == max(logged) == 1.0
    assert min(logged) > 0


def test_gradients_are_clipped_to_the_configured_norm() -> None:
    # AdamW's first step does not depend on the scale of the gradients, so inspect those that the optimizer gets.
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
