import math
from typing import Any

import pytest
import torch

from groundup.errors import BadInput
from groundup.nn.config import RopeScaling
from groundup.nn.rotary import frequencies, rotary_tables, rotate


def test_rotation_by_hand() -> None:
    # D = 4, base 100: the angle of pair (0, 2) is the position, that of pair (1, 3) a tenth of it.
    cos, sin = rotary_tables(torch.tensor([0, 3]), 4, 100.0)
    x = torch.tensor([1.0, 2.0, 0.0, 0.0]).expand(1, 1, 2, 4)
    expected = torch.tensor([math.cos(3), 2 * math.cos(0.3), math.sin(3), 2 * math.sin(0.3)])
    torch.testing.assert_close(rotate(x, cos, sin)[0, 0], torch.stack([x[0, 0, 0], expected]))


def test_rotary_scores_depend_only_on_the_distance() -> None:
    q, k = torch.randn(2, 1, 1, 1, 8)

    def score(query_at: int, key_at: int) -> float:
        tables = [rotary_tables(torch.tensor([p]), 8, 10_000.0) for p in (query_at, key_at)]
        return float(rotate(q, *tables[0]).flatten() @ rotate(k, *tables[1]).flatten())

    for distance in (0, 1, 7):
        assert score(distance, 0) == pytest.approx(score(distance + 90, 90), abs=1e-4)
    assert abs(score(7, 0) - score(1, 0)) > 1e-2


LONGER: list[tuple[RopeScaling, dict[str, Any]]] = [
    (RopeScaling("linear", 4.0), {"rope_type": "linear", "factor": 4.0}),
    (
        RopeScaling("llama3", 8.0, 64, low_freq_factor=1.0, high_freq_factor=4.0),
        {
            "rope_type": "llama3",
            "factor": 8.0,
            "original_max_position_embeddings": 64,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
        },
    ),
    (
        RopeScaling("yarn", 4.0, 64, attention_factor=0.1 * math.log(4) + 1),
        {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64},
    ),
]


@pytest.mark.parametrize(("scaling", "theirs"), LONGER, ids=lambda value: getattr(value, "kind", ""))
def test_scaled_frequencies_equal_those_of_transformers(scaling: RopeScaling, theirs: dict[str, Any]) -> None:
    from transformers import LlamaConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    config = LlamaConfig(
        hidden_size=128,
        num_attention_heads=4,
        max_position_embeddings=256,
        rope_parameters={"rope_theta": 500.0, **theirs},
    )
    expected, factor = ROPE_INIT_FUNCTIONS[scaling.kind](config, torch.device("cpu"))
    found, ours = frequencies(32, 500.0, scaling)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)
    assert ours == pytest.approx(factor)
    plain, _ = frequencies(32, 500.0)
    assert (found <= plain * (1 + 1e-6)).all() and found[-1] == pytest.approx(plain[-1] / scaling.factor)


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "linear", "factor": 0.5},
        {"kind": "yarn", "factor": 2.0},
        {"kind": "llama3", "factor": 2.0, "original_context": 64, "low_freq_factor": 4.0},
    ],
)
def test_refuses_scaling_that_makes_no_sense(values: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="rope_scaling"):
        RopeScaling(**values)
