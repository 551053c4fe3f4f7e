"""Files that scale rotary positions, after the code of llama.cpp's converter and loader."""

import math
from typing import Any

import pytest
import torch

from groundup.errors import BadInput
from groundup.interop.configs import yarn_attention
from groundup.interop.gguf_rotary import FIELDS, factors_of, read_factors, read_scaling, scaling_fields
from groundup.nn.config import RopeScaling


def read(**told: Any) -> RopeScaling | None:
    facts = {"llama.context_length": 64, **{FIELDS + name: value for name, value in told.items()}}
    return read_scaling(facts, None, 8, 500.0, "m.gguf")


@pytest.mark.parametrize(("factor", "base", "head_dim"), [(8.0, 5e5, 128), (32.0, 5e5, 64)])
def test_llama_3_1_and_3_2(factor: float, base: float, head_dim: int) -> None:
    factors = []
    for i in range(0, head_dim, 2):
        length = 2 * math.pi * base ** (i / head_dim)
        smooth = (8192 / length - 1) / (4 - 1)
        between = 1 / ((1 - smooth) / factor + smooth)
        factors.append(1 if length < 8192 / 4 else factor if length > 8192 else between)
    found = read_factors(torch.tensor(factors), head_dim, base, "m")
    assert found == RopeScaling("llama3", factor, original_context=8192)


@pytest.mark.parametrize("base", [1e4, 5e5])
@pytest.mark.parametrize("factor", [1.5, 8.0])
@pytest.mark.parametrize("context", [1, 7, 16, 100, 5000, 10**6])
def test_every_context_gives_the_same_factors_again(context: int, factor: float, base: float) -> None:
    factors = factors_of(16, base, RopeScaling("llama3", factor, original_context=context))
    found = read_factors(factors, 16, base, "m")
    again = torch.ones(8) if found is None else factors_of(16, base, found)
    torch.testing.assert_close(again, factors, rtol=1e-3, atol=0)
    assert (found is None) == bool((factors == 1).all())


@pytest.mark.parametrize(
    ("factors", "words"),
    [
        ([1.0, 1.5, 2.0, 4.5], "factors that are not Llama 3's"),
        ([8.0, 1.0, 8.0, 8.0], "factors that are not Llama 3's"),
        ([0.5, 0.9, 1.0, 1.0], r"shape \(4,\); expected 4 numbers of at least 1"),
        ([1.0, 1.0, 1.0, math.nan], "4 numbers of at least 1"),
        ([1.0, 1.0, 8.0], r"shape \(3,\)"),
        ([], r"shape \(0,\)"),
        ([[1.0, 1.0, 8.0, 8.0]], r"shape \(1, 4\)"),
    ],
)
def test_other_factors_are_refused(factors: Any, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        read_factors(torch.tensor(factors), 8, 500.0, "m.gguf")


def test_what_llama_cpp_takes_for_granted() -> None:
    assert (
        read() is read(type="none", factor=4.0) is read(factor=0.0) is read(type="yarn", factor=1.0) is None
    )
    assert read(factor=4.0) == read(type="linear", factor=4.0, finetuned=True) == RopeScaling("linear", 4.0)
    old = {"llama.rope.scale_linear": 2.0}
    assert read_scaling(old, None, 8, 500.0, "m") == RopeScaling("linear", 2.0)
    expected = RopeScaling("yarn", 4.0, original_context=64, attention_factor=yarn_attention(4.0))
    assert read(type="yarn", factor=4.0) == read(type="yarn", factor=4.0, yarn_beta_fast=32.0) == expected


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"type": "longrope", "factor": 2.0}, "by 'longrope'; expected linear, plain yarn"),
        ({"type": "yarn", "factor": 2.0, "yarn_beta_fast": 8.0}, r"'yarn' and yarn_beta_fast 8\.0"),
        ({"type": "yarn", "factor": 2.0, "yarn_attn_factor": 1.0}, r"yarn_attn_factor 1\.0"),
        (
            {"type": "linear", "factor": 0.5},
            r"m\.gguf: llama\.rope\.scaling\.factor is 0\.5; expected a number",
        ),
        ({"type": "linear", "factor": math.nan}, "factor is nan"),
        ({"type": "yarn", "factor": [2.0]}, r"factor is \[2\.0\]"),
        ({"type": "yarn", "factor": -2.0}, "at least 1"),
        ({"type": "yarn", "factor": 2.0, "original_context_length": 0}, "original_context_length is 0"),
    ],
)
def test_other_fields_are_refused(told: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        read(**told)


def test_two_kinds_of_scaling_at_once_are_refused() -> None:
    fields = {FIELDS + "type": "linear", FIELDS + "factor": 2.0}
    with pytest.raises(BadInput, match="one kind of scaling at a time"):
        read_scaling(fields, torch.tensor([1.0, 1.0, 8.0, 8.0]), 8, 500.0, "m")
    assert read_scaling({FIELDS + "factor": 1.0}, torch.ones(4), 8, 500.0, "m") is None


def test_fields_come_back() -> None:
    for scaling in (
        RopeScaling("linear", 1.1),
        RopeScaling("yarn", 1.1, original_context=8, attention_factor=1.2),
    ):
        told = {f"llama.{name}": value for name, value in scaling_fields(scaling).items()}
        in_32_bits = {k: float(torch.tensor(v)) if isinstance(v, float) else v for k, v in told.items()}
        found = read_scaling(in_32_bits, None, 8, 500.0, "m")
        assert found is not None and found.factor == 1.1
        assert found.attention_factor == pytest.approx(scaling.attention_factor, abs=1e-6)
    assert scaling_fields(None) == scaling_fields(RopeScaling("llama3", 8.0, original_context=8)) == {}
