"""Metrics and curves of both objectives, in the form that their stages write."""

from typing import Any

from groundup.evaluation import transfer_results

SYSTEMS = ("masked", "causal", "masked_random", "causal_random", "naive_bayes", "logistic_regression")


def entry(mean: float, reach: float = 0.01) -> dict[str, float]:
    """A mean with a symmetric interval."""
    return {"mean": mean, "low": mean - reach, "high": mean + reach}


def figures() -> dict[str, Any]:
    """Metrics in which the decoder beats the trigram baseline, but the encoder's lead is not significant."""
    return {
        name: {
            "accuracy": {"model": entry(model), "trigram": entry(0.3), "unigram": entry(0.05)},
            "lead": {"trigram": entry(model - 0.3), "unigram": entry(model - 0.05)},
            "val_loss": 3.2,
            "guesses": 1234,
            "parameters": 1000,
            "steps": 30,
            "tokens": tokens,
            "max_seconds": 150,
        }
        for name, model, tokens in (("causal", 0.35, 2_000_000), ("masked", 0.305, 3_000_000))
    }


def transfer() -> dict[str, Any]:
    """Metrics in which pretraining helps the encoder with few messages, and nothing else is significant."""
    scores: dict[str, dict[int, list[float]]] = {
        name: {size: [0.9, 0.91, 0.92] for size in (100, 400)} for name in SYSTEMS
    }
    scores["causal"] = {size: [0.91, 0.9, 0.92] for size in (100, 400)}
    scores["masked_random"][100] = [0.3, 0.31, 0.32]
    losses = {
        name: {size: [0.02, 0.03, 0.04] for size in (100, 400)}
        for name in ("masked", "causal", "masked_random", "causal_random")
    }
    return transfer_results.table(scores, losses, {100: 60, 400: 75}, 0.95)


def curves() -> dict[str, list[dict[str, float]]]:
    """Curves of thirty steps, evaluated at every tenth."""
    nothing = float("nan")
    return {
        name: [
            {
                "step": step,
                "train/loss": 8 - step / 10,
                "tokens_seen": step * 2048,
                "val/loss": 8 - step / 10 if step % 10 == 0 else nothing,
                "val/accuracy": step / 100 if step % 10 == 0 else nothing,
            }
            for step in range(1, 31)
        ]
        for name in ("causal", "masked")
    }
