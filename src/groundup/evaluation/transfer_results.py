"""Results of transfer learning: F1 by number of labelled messages, and the gain from pretraining.

All models with the same seed read the same messages, so differences are computed seed by seed, and a lucky
draw of messages cancels out. Intervals show how the means would vary with other seeds: with other draws of
messages and other random weights. The test messages are always the same.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from groundup.evaluation.metrics import seed_interval

OBJECTIVES = ("masked", "causal")
LAST_STEPS = 10  # the loss of a single step is noisy

Scores = Mapping[str, Mapping[int, Sequence[float]]]  # system -> number of messages -> one value per seed


def final_loss(history: Sequence[Mapping[str, float]]) -> float:
    """Return the mean training loss of the last steps of spam finetuning, in nats per message.

    Args:
        history: rows of `training.loop.fit`.
    """
    return float(np.mean([row["train/loss"] for row in history[-LAST_STEPS:]]))


def table(scores: Scores, losses: Scores, steps: Mapping[int, int], confidence: float) -> dict[str, Any]:
    """Make the table of transfer learning: means, intervals over seeds and differences.

    Student's t interval can exceed the possible range, so intervals of F1 are cut at 0 and 1, those of a loss
    at 0.

    Args:
        scores: F1 on the test split.
        losses: the `final_loss` of the trained models.
        steps: number of messages -> training steps, the same for all models.
        confidence: confidence level.

    Returns:
        "confidence" and "seeds" (their number). "f1": {system: {messages: interval}}. "loss": {model:
        {messages: interval}}. "steps": {messages: number of steps}. "gain": {objective: {messages:
        interval}}, of F1, pretrained minus random. "lead": {messages: interval}, of F1, masked minus causal.
        "per_seed": {system: {messages: [F1]}}. Numbers of messages are strings, as in JSON.

    Raises:
        BadInput: there are fewer than two seeds.
    """

    def intervals(found: Scores, highest: float) -> dict[str, Any]:
        return {
            name: {
                str(size): _cut(seed_interval(values, confidence), highest) for size, values in sizes.items()
            }
            for name, sizes in found.items()
        }

    def differences(ours: str, theirs: str) -> dict[str, Any]:
        return {
            str(size): seed_interval(
                [a - b for a, b in zip(values, scores[theirs][size], strict=True)], confidence
            )
            for size, values in scores[ours].items()
        }

    return {
        "confidence": confidence,
        "seeds": len(next(iter(scores["masked"].values()))),
        "f1": intervals(scores, highest=1.0),
        "loss": intervals(losses, highest=math.inf),
        "steps": {str(size): count for size, count in steps.items()},
        "gain": {name: differences(name, f"{name}_random") for name in OBJECTIVES},
        "lead": differences("masked", "causal"),
        "per_seed": {
            name: {str(size): [round(value, 6) for value in values] for size, values in sizes.items()}
            for name, sizes in scores.items()
        },
    }


def _cut(entry: Mapping[str, float], highest: float) -> dict[str, float]:
    return {key: min(max(value, 0.0), highest) for key, value in entry.items()}
