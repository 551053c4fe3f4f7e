"""Metrics of all starts, as the stage compare writes them."""

from typing import Any

from groundup.evaluation.starting_points import STARTS


def entry(mean: float) -> dict[str, float]:
    """A mean with an interval of 0.02."""
    return {"mean": mean, "low": mean - 0.01, "high": mean + 0.01}


CHAT = ("published", "lora", "dpo")


def asked(name: str) -> dict[str, Any] | None:
    """Both rounds of questions to a chat model."""
    shares = {"right": entry(0.5), "sentences": entry(0.9), "instances": 50}
    return {"fresh": shares, "after_tasks": {**shares, "sentences": entry(0.3)}} if name in CHAT else None


def found() -> dict[str, Any]:
    """Each start is better than the previous one; only the gain of LoRA on unseen instances is significant."""
    gain, none = {"mean": 0.2, "low": 0.1, "high": 0.3}, {"mean": 0.0, "low": -0.1, "high": 0.1}
    return {
        "starts": {
            name: {
                "parameters": 1_000_000,
                "bits_per_byte": 3.0 - 0.1 * i,
                "test": {"exact_match": entry(0.1 * i + 0.1)},
                "held_out": {"exact_match": entry(0.05 * i + 0.1)},
                "questions": asked(name),
                "spam": {"f1": entry(0.9 + 0.01 * i), "mcc": entry(0.8 + 0.01 * i)},
                "spam_difference": {
                    "f1": {**(gain if name == "dpo" else none), "significant": name == "dpo"}
                },
            }
            for i, name in enumerate(STARTS)
        },
        "baseline": {"f1": entry(0.95)},
        "gains": {
            "lora - published": {"test": gain, "held_out": none},
            "dpo - lora": {"test": none, "held_out": none},
        },
        "questions": [
            {
                "question": "And of Italy?",
                "answers": {name: {"answer": f"{name}: Rome", "right": name != "lora"} for name in CHAT},
            }
        ],
        "judge": {"judge": None, "scores": {}},
        "book": {
            "accuracy": entry(0.976),
            "per_seed": {"1": 0.97, "2": 0.98},
            "items": 300,
            "leakage": {"exact": 37, "normalised": 48, "share": 0.16},
        },
    }
