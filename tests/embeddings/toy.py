"""A small language with a known structure: every document is about exactly one topic."""

from dataclasses import replace
from typing import Any

import numpy as np

from groundup.embeddings.config import EmbeddingsConfig, GloVeConfig, Word2VecConfig
from groundup.training.config import Decay
from tests.tiny import ADAGRAD, ADAMW

TOPICS = {
    "sea": ["ship", "wave", "sail", "harbour", "fish", "storm"],
    "kitchen": ["pan", "salt", "oven", "bread", "spoon", "soup"],
    "school": ["pupil", "lesson", "chalk", "teacher", "exam", "desk"],
}
COMMON = ["the", "a", "and", "is"]


def documents(count: int = 200, words: int = 30, seed: int = 0) -> list[list[str]]:
    """Each word is a common word (with probability 1/3) or a word of the document's topic."""
    rng = np.random.default_rng(seed)
    topics = list(TOPICS.values())
    return [
        [str(rng.choice(COMMON if rng.random() < 1 / 3 else topics[n % len(topics)])) for _ in range(words)]
        for n in range(count)
    ]


def config(**word2vec: Any) -> EmbeddingsConfig:
    """16 dimensions, a few hundred words per step."""
    rates: dict[str, Any] = {"warmup_steps": 0, "decay": Decay("linear", 1.0, 0.0), "weight_decay": 0.0}
    values: dict[str, Any] = {
        "window": 3, "negative": 5, "sample": 0.0, "epochs": 6, "block_words": 8, "block_negatives": 6,
        "step_words": 256, "optimizer": replace(ADAMW, max_lr=0.02, **rates),
    }  # fmt: skip
    glove = GloVeConfig(
        window=3, x_max=10.0, alpha=0.75, epochs=60, step_cells=100,
        optimizer=replace(ADAGRAD, max_lr=0.1, **rates),
    )  # fmt: skip
    return EmbeddingsConfig(
        seed=1,
        min_count=1,
        dimension=16,
        checkpoint_interval=0,
        word2vec=Word2VecConfig(**{**values, **word2vec}),
        glove=glove,
    )
