from dataclasses import replace
from pathlib import Path

import pytest

from groundup.planning.watch import FIRST_STEP, WINDOW, compared, expected_losses, watched
from groundup.tracking import silent
from tests.pipelines.prepared import MODEL, PRETRAIN, make_corpus
from tests.tiny import training_config


def losses_of(loss: float, capsys: pytest.CaptureFixture[str]) -> tuple[list[str], str, list[int]]:
    """Log a constant loss for 300 steps; 3 to 4 is expected."""
    said: list[str] = []
    logged: list[int] = []
    log = compared(lambda metrics, step: logged.append(step), lambda step: (3.0, 4.0), said.append)
    for step in range(1, 301):
        log({"train/loss": loss}, step)
    return said, capsys.readouterr().err, logged


def test_a_loss_that_does_not_fall_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    said, shown, logged = losses_of(7.5, capsys)
    assert said == [
        f"loss 7.50 after {FIRST_STEP} steps; the plan expected 3.00 to 4.00: stop and check the learning rates, the "
        "data and its tokenizer"
    ]
    assert shown.count(said[0]) == 1
    assert logged == list(range(1, 301))


def test_a_loss_that_is_too_low_is_said_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert "the targets are not in the input" in losses_of(0.1, capsys)[0][0]


def test_an_expected_loss_is_not_mentioned(capsys: pytest.CaptureFixture[str]) -> None:
    assert losses_of(3.5, capsys)[:2] == ([], "")


def test_single_steps_and_a_resumed_run_are_not_judged() -> None:
    said: list[str] = []
    log = compared(lambda metrics, step: None, lambda step: (3.0, 4.0), said.append)
    for step in range(200, 200 + WINDOW - 1):  # fewer steps than the window since resuming
        log({"train/loss": 9.0}, step)
    assert said == []
    log = compared(lambda metrics, step: None, lambda step: (3.0, 4.0), said.append)
    for step in range(300, 300 + WINDOW):
        log({"train/loss": 3.5}, step)
    log({"train/loss": 9.0}, 400)  # one outlier
    log({"val/loss": 9.0}, 400)  # the final evaluation
    assert said == []


def test_a_training_that_ends_with_max_seconds_is_not_judged(tmp_path: Path) -> None:
    run = silent()
    training = training_config(max_steps=100_000, max_seconds=60.0)
    pretrain = replace(PRETRAIN, training=training)
    assert watched(run, tmp_path, tmp_path / "tokenizer.json", MODEL, pretrain) == run.log


def test_the_expected_losses_of_a_prepared_corpus(tmp_path: Path) -> None:
    make_corpus(tmp_path)
    pretrain = replace(PRETRAIN, training=training_config(max_steps=400))
    expected = expected_losses(tmp_path / "tokens", tmp_path / "tokenizer.json", MODEL, pretrain)
    (_, first), (low, last) = expected(100), expected(400)
    assert low == 0  # the text is read many times
    assert 0 < last <= first
