"""Made-up messages, for tests that need many of them and no model."""

from typing import Any

import numpy as np

from groundup.evaluation.metrics import Bootstrap
from groundup.monitoring.config import MonitorConfig, PolicyConfig
from groundup.monitoring.samples import Messages
from groundup.tokenizers.characters import CharacterTokenizer

LETTERS = "abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ!?."
TOKENIZER = CharacterTokenizer.train([LETTERS])
_RNG = np.random.default_rng(0)
WORDS = ["".join(_RNG.choice(list("abcdefghij"), size=_RNG.integers(2, 7))) for _ in range(200)]
BOOTSTRAP = Bootstrap(samples=50, confidence=0.95, seed=1)


def config(**changes: Any) -> MonitorConfig:
    values: dict[str, Any] = {
        "cron": "0 4 * * *",
        "timezone": "UTC",
        "windows": "windows",
        "results": "results",
        "min_messages": 20,
        "max_messages": 200,
        "false_alarm_rate": 0.1,
        "permutations": 99,
        "policy": PolicyConfig(violations=2, windows=3),
        "seed": 1,
    }
    return MonitorConfig(**values | changes)


def sentences(n: int, rng: np.random.Generator) -> list[str]:
    """Return `n` different messages of 3 to 12 words, some of them shouted."""
    found = [" ".join(rng.choice(WORDS, size=rng.integers(3, 12))) for _ in range(n)]
    return [text.upper() + "!" if rng.random() < 0.2 else text for text in found]


def messages(texts: list[str], rng: np.random.Generator, *, labelled: bool = True) -> Messages:
    """Return the messages as judged by a made-up champion that takes shouting for spam and rarely errs."""
    shouted = np.array([text.isupper() for text in texts])
    wrong = rng.random(len(texts)) < 0.05
    rows = [
        {"text": text, "label": "spam" if spam else "ham"}
        for text, spam in zip(texts, shouted ^ wrong, strict=True)
    ]
    return Messages.of(
        rows if labelled else [{"text": row["text"]} for row in rows],
        TOKENIZER,
        spam_probability=np.where(shouted, 0.9, 0.1) + rng.uniform(-0.09, 0.09, len(texts)),
        bits_per_byte=np.array([2 + len(set(text)) / 20 for text in texts]),
        embeddings=np.array([[text.count(letter) / len(text) for letter in "aeiAEI !"] for text in texts]),
    )
