"""Token accuracy: how often a model's best guess is the right token, which is the next one or a masked one.

The guesses are made in windows (W, T) of a held-out text. Intervals are over windows, since guesses within
one window are not independent.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from groundup.errors import BadInput
from groundup.evaluation.metrics import Bootstrap, Interval
from groundup.nn.decoder import Decoder
from groundup.nn.encoder import Encoder
from groundup.training.objectives import IGNORE_INDEX

Ids = NDArray[np.int64]


def windows_of(ids: NDArray[np.unsignedinteger[Any]], context_length: int) -> Ids:
    """Cut a stream of token ids (N,) into windows (W, context_length + 1) for evaluation.

    The last token of each window is also the first of the next one. Tokens that do not fill a window are
    dropped.

    Raises:
        BadInput: the stream is shorter than one window.
    """
    count = (len(ids) - 1) // context_length
    if count < 1:
        raise BadInput(
            f"the held-out text has {len(ids)} tokens; one window needs {context_length + 1}: raise "
            f"corpus.val_fraction or lower context_length."
        )
    rows = np.arange(count)[:, None] * context_length + np.arange(context_length + 1)
    return ids[rows].astype(np.int64)


@torch.inference_mode()
def guesses(model: Decoder | Encoder, windows: Ids, targets: Ids, batch_size: int = 32) -> tuple[Ids, float]:
    """Let a model guess tokens: a decoder the next token, an encoder the token at the position itself.

    Args:
        model: the decoder or encoder.
        windows: (W, T), the input.
        targets: (W, T), the right tokens; IGNORE_INDEX where no guess is made.
        batch_size: number of windows read at once.

    Returns:
        The most likely token at each position with a target, IGNORE_INDEX elsewhere, (W, T); and the mean
        loss in nats per guess.
    """
    device = model.wte.weight.device
    found, nats = np.full_like(targets, IGNORE_INDEX), 0.0
    for start in range(0, len(windows), batch_size):
        rows = slice(start, start + batch_size)
        asked = targets[rows] != IGNORE_INDEX
        hidden = model(torch.from_numpy(windows[rows]).to(device))
        log_p = model.logits(hidden[torch.from_numpy(asked).to(device)]).float().log_softmax(dim=-1)
        wanted = torch.from_numpy(targets[rows][asked]).to(device)
        nats -= float(log_p.gather(1, wanted[:, None]).sum())
        found[rows][asked] = log_p.argmax(dim=-1).cpu().numpy()
    return found, nats / max(1, int((targets != IGNORE_INDEX).sum()))


def accuracies(
    targets: Ids, guessed: Mapping[str, Ids], bootstrap: Bootstrap
) -> dict[str, dict[str, Interval]]:
    """Compute the token accuracy of each system, and the lead of the first system over each other one.

    Args:
        targets: (W, T), IGNORE_INDEX at positions that are not scored.
        guessed: name of the system -> its guesses (W, T).
        bootstrap: draws the windows for the intervals; the draws are the same for all systems.

    Returns:
        {"accuracy": {name: {"mean", "low", "high"}}, "lead": {name: {"mean", "low", "high"}}}.
    """
    asked = targets != IGNORE_INDEX
    counts = asked.sum(axis=1)
    hits = {name: ((guess == targets) & asked).sum(axis=1) for name, guess in guessed.items()}
    means = {name: float(hit.sum() / counts.sum()) for name, hit in hits.items()}
    draws = {
        name: bootstrap.resample(counts, hit[None], {"accuracy": _share})["accuracy"]
        for name, hit in hits.items()
    }
    first = next(iter(guessed))
    return {
        "accuracy": {name: _entry(means[name], bootstrap.interval(draws[name])) for name in hits},
        "lead": {
            name: _entry(means[first] - means[name], bootstrap.interval(draws[first] - draws[name]))
            for name in hits
            if name != first
        },
    }


def _share(counts: NDArray[Any], hits: NDArray[Any], weights: NDArray[Any]) -> NDArray[Any]:
    return (weights @ hits) / (weights @ counts)


def _entry(mean: float, ends: tuple[float, float]) -> Interval:
    return {"mean": round(mean, 6), "low": round(ends[0], 6), "high": round(ends[1], 6)}
