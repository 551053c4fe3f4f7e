"""Shapes of imagined runs, and their bits by known parameters of the law."""

from dataclasses import replace

import numpy as np

from groundup.nn.config import ModelParams, NgramConfig
from groundup.planning.fitting import LossPoint, RecordedRun
from groundup.planning.law import PRIORS, Shape, bits_of, nats_per_token, schedule
from groundup.training.config import CountedConfig, TrainingConfig
from tests.pipelines.prepared import PRETRAIN
from tests.tiny import model_params, training_config

# other than the means of the priors; such runs end with 1.5 to 2.5 bits per byte
KNOWN = np.array(
    [
        {"E": 0.5, "d": -0.9, "beta": 0.25, "m": -3.0, "c": -3.3, "t": -4.0}.get(name, mean + 0.3 * deviation)
        for name, (mean, deviation) in PRIORS.items()
    ]
)
GAP = 0.06


def imagined(seed: int) -> tuple[ModelParams, TrainingConfig, Shape]:
    """Draw a model, a training and its shape."""
    rng = np.random.default_rng(seed)
    model = model_params(
        context_length=int(rng.choice([64, 128, 256])),
        n_layer=int(rng.integers(1, 5)),
        n_embd=int(rng.choice([64, 128, 192])),
        ngram=NgramConfig(1000, 8, (2,)) if rng.random() < 0.5 else None,
    )
    training = training_config(max_steps=int(rng.integers(100, 3000)), batch_size=int(rng.choice([4, 8, 16])))
    vocab_size = int(rng.choice([512, 1024, 2048, 4096]))
    return (
        model,
        training,
        Shape.of(
            model,
            replace(PRETRAIN, training=training, counted=CountedConfig(200, 2048)),
            vocab_size,
            1.1 * np.log10(vocab_size),
            2e7,
            rng.uniform(1.7, 2.3),
        ),
    )


def recorded(seed: int, noise: float = 0.0) -> RecordedRun:
    """A run whose bits and training losses follow KNOWN and GAP, with a relative noise."""
    _, training, shape = imagined(seed)
    rng = np.random.default_rng(1000 + seed)
    rates = schedule(training)
    points = []
    for step in (shape.steps // 3, shape.steps):
        so_far = replace(shape, steps=step, full_steps=sum(rates[:step]))
        rate = rates[step - 1]
        loss = nats_per_token(bits_of(KNOWN, so_far), so_far) * (1 + GAP * rate)
        points.append(LossPoint(step, so_far.full_steps, rate, loss))
    return RecordedRun(shape, bits_of(KNOWN, shape) * float(np.exp(noise * rng.normal())), tuple(points))
