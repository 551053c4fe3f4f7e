from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from groundup.evaluation.config import EvaluateConfig

SOUND = {
    "bootstrap_samples": 1,
    "confidence": 0.95,
    "max_new_tokens": 1,
    "batch_size": 1,
    "before_per_family": 1,
    "samples": 0,
    "seed": 0,
}


def test_the_smallest_values_are_valid() -> None:
    assert vars(TypeAdapter(EvaluateConfig).validate_python(SOUND)) == SOUND


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("bootstrap_samples", 0), ("confidence", 0), ("confidence", 1), ("max_new_tokens", 0), ("batch_size", 0),
        ("before_per_family", 0), ("samples", -1), ("seed", None), ("seed", -1), ("sample", 1),
    ],
)  # fmt: skip
def test_values_that_measure_nothing_are_rejected(key: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=key):
        TypeAdapter(EvaluateConfig).validate_python(SOUND | {key: value})
