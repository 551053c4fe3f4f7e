"""A small training to interrupt, resume and compare."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from groundup.nn.decoder import Decoder
from groundup.training.batching import Batches, window_batches
from groundup.training.config import TrainingConfig
from groundup.training.loop import fit
from groundup.training.objectives import causal_lm
from tests.tiny import CPU, model_config, training_config

DROPOUT = model_config(dropout=0.1)  # an interruption must not change its random numbers


class Interrupted(Exception):
    pass


def stream(vocab_size: int = 11, n: int = 400) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).integers(vocab_size, size=n).astype(np.uint16)


def new_model(**changes: Any) -> Decoder:
    torch.manual_seed(0)
    model = Decoder(replace(DROPOUT, **changes))
    assert model.ngrams is not None
    model.ngrams.learn(torch.from_numpy(stream().astype(np.int64)))
    return model


def batches_of(config: TrainingConfig, ids: np.ndarray[Any, Any] | None = None) -> Batches:
    ids = stream() if ids is None else ids
    return window_batches(ids, 12, config.batch_size, config.grad_accum_steps, seed=3)


def nowhere(metrics: Mapping[str, float], step: int) -> None:
    pass


def train(
    config: TrainingConfig, model: Decoder | None = None, **others: Any
) -> tuple[Decoder, list[dict[str, float]]]:
    model = model or new_model()
    arguments: dict[str, Any] = {"seed": 3, "log": nowhere, **others}
    return model, fit(model, causal_lm, batches_of(config), config, CPU, **arguments)


def weights(model: Decoder) -> dict[str, Tensor]:
    return {name: t.clone() for name, t in model.state_dict().items()}


def assert_same(a: Decoder, b: Decoder) -> None:
    for name, tensor in a.state_dict().items():
        assert torch.equal(tensor, b.state_dict()[name]), name


def interrupt_at(step: int) -> Any:
    def log(metrics: Mapping[str, float], at: int) -> None:
        if at == step:
            raise Interrupted

    return log


def patient(patience: int | None = 3, **changes: Any) -> TrainingConfig:
    return training_config(
        **{"max_steps": 12, "eval_interval": 2, "checkpoint_interval": 1, "patience": patience, **changes}
    )
