from dataclasses import asdict, replace
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from groundup.errors import BadInput
from groundup.settings import describe
from groundup.training.config import OptimizerConfig, TrainingConfig
from tests.tiny import ADAGRAD, ADAMW, MUON, SGD, training_config
from tests.tiny_translation import CONFIG


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_steps", 0),
        ("max_seconds", 0.0),
        ("batch_size", 0),
        ("grad_accum_steps", 0),
        ("grad_clip", -1.0),
        ("eval_interval", -1),
        ("checkpoint_interval", -1),
        ("patience", 0),
    ],
)
def test_refuses_values_that_no_training_can_have(name: str, value: Any) -> None:
    adapter = TypeAdapter(TrainingConfig)
    values = asdict(training_config())
    assert adapter.validate_python(values) == training_config()
    with pytest.raises(ValidationError, match=name):
        adapter.validate_python({**values, name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kind", "lion"),
        ("max_lr", -1e-3),
        ("embedding_lr", -1e-3),
        ("warmup_steps", -1),
        ("decay.share", 1.5),
        ("decay.share", 0.0),
        ("decay.min_lr_ratio", 1.0),
        ("momentum", 1.0),
        ("newton_schulz_steps", 0),
        ("betas", (0.9, 1.0)),
    ],
)
def test_refuses_values_that_no_optimizer_can_have(name: str, value: Any) -> None:
    values = asdict(training_config())
    *path, last = f"optimizer.{name}".split(".")
    section = values
    for part in path:
        section = section[part]
    section[last] = value
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(TrainingConfig).validate_python(values)
    assert describe(caught.value, values).startswith(f"optimizer.{name}")
    assert caught.value.error_count() == 1


@pytest.mark.parametrize("optimizer", [ADAMW, MUON, SGD, ADAGRAD])
def test_an_optimizer_is_read_by_its_kind(optimizer: OptimizerConfig) -> None:
    adapter: TypeAdapter[OptimizerConfig] = TypeAdapter(OptimizerConfig)
    assert adapter.validate_python(asdict(optimizer)) == optimizer


def test_patience_needs_evaluations() -> None:
    assert training_config(patience=2, eval_interval=5).patience == 2
    with pytest.raises(
        BadInput, match="patience is 2 and eval_interval is 0: nothing is evaluated before the end"
    ):
        training_config(patience=2)


def test_training_pairs_of_a_translation_fit_its_model() -> None:
    context = CONFIG.model.context_length
    assert replace(CONFIG, max_tokens=context).max_tokens == context
    with pytest.raises(BadInput, match=f"max_tokens is {context + 1}; expected at most .* {context}, since"):
        replace(CONFIG, max_tokens=context + 1)
