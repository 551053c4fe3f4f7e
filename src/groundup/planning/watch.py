"""An early warning while a training runs: the loss is compared with the one that the plan expected.

Losses that never fall are often noticed days later, because a slowly falling curve looks like learning.
"""

import sys
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from tqdm import tqdm

from groundup.nn.config import ModelParams
from groundup.planning.difficulty import TEST_BYTES, TRAIN_BYTES, difficulty
from groundup.planning.facts import bytes_per_token
from groundup.planning.law import Expected, Shape, load_law, repetition
from groundup.tracking import Run
from groundup.training.config import PretrainConfig
from groundup.training.shards import decoded_texts, read_meta

Log = Callable[[Mapping[str, float], int], None]
FIRST_STEP = 100  # in the first steps, hardly anything has been learned and the law knows little
WINDOW = 20  # steps whose mean loss is compared


def compared(log: Log, expected: Expected, say: Callable[[str], None] | None = None) -> Log:
    """Return a `log` for `fit` that also says, once, if the training loss leaves the expected range.

    The mean loss of the last WINDOW steps is compared, from FIRST_STEP on. Nothing else changes.

    Args:
        log: receives the metrics as before.
        expected: steps so far -> lowest and highest expected loss.
        say: receives the warning in addition to standard error, where it appears above the progress bar.
    """
    losses: deque[float] = deque(maxlen=WINDOW)
    said = False

    def log_and_compare(metrics: Mapping[str, float], step: int) -> None:
        nonlocal said
        log(metrics, step)
        if "train/loss" not in metrics:  # the final evaluation
            return
        losses.append(metrics["train/loss"])
        if said or step < FIRST_STEP or len(losses) < WINDOW:
            return
        mean = sum(losses) / WINDOW
        low, high = expected(step)
        if low <= mean <= high:
            return
        said = True
        check = (
            "stop and check the learning rates, the data and its tokenizer"
            if mean > high
            else "check that the text does not repeat itself and that the targets are not in the input"
        )
        message = f"loss {mean:.2f} after {step} steps; the plan expected {low:.2f} to {high:.2f}: {check}"
        tqdm.write(f"warning: {message}", file=sys.stderr)
        if say:
            say(message)

    return log_and_compare


def watched(run: Run, tokens: Path, tokenizer: Path, model: ModelParams, pretrain: PretrainConfig) -> Log:
    """Return a `log` for `fit` that logs to a run, compares the loss (see `compared`), and tags the run with a warning.

    It first warns of a text that is read too often. If `max_seconds` may end the training, nothing is compared: its
    learning rates follow the time, and how much is learned in a number of steps depends on the machine. The other
    arguments and errors are those of `expected_losses`.
    """
    training = pretrain.training
    if training.max_seconds is not None:
        return run.log
    step_tokens = model.context_length * training.batch_size * training.grad_accum_steps
    if often := repetition(training.max_steps * step_tokens / read_meta(tokens)["train"]["tokens"]):
        tqdm.write(f"warning: {often}", file=sys.stderr)
        run.tag("plan.repetition", often)
    expected = expected_losses(tokens, tokenizer, model, pretrain)
    return compared(run.log, expected, lambda warning: run.tag("plan.warning", warning))


def expected_losses(tokens: Path, tokenizer: Path, model: ModelParams, pretrain: PretrainConfig) -> Expected:
    """Return where the law expects the losses of a pretraining: steps so far -> nats per token, low and high.

    Args:
        tokens: folder of token shards.
        tokenizer: file of the BPE tokenizer that encoded them.
        model: architecture and size.
        pretrain: the schedule and the first phase.

    Raises:
        BadInput: the shards are missing or were made with another tokenizer.
    """
    meta = read_meta(tokens)
    hard = difficulty(
        _first(decoded_texts(tokens, "train", tokenizer), TRAIN_BYTES),
        _first(decoded_texts(tokens, "val", tokenizer), TEST_BYTES),
    )
    size, train_bytes = bytes_per_token(tokens), meta["train"]["message_bytes"]
    shape = Shape.of(model, pretrain, meta["vocab_size"], size, train_bytes, hard)
    return load_law().curve(shape, pretrain.training)


def _first(texts: Iterable[str], size: int) -> bytes:
    """Return the first `size` bytes of texts, one per line."""
    found = bytearray()
    for text in texts:
        found += text.encode() + b"\n"
        if len(found) >= size:
            break
    return bytes(found[:size])
