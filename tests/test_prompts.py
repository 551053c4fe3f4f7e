"""Prompt styles against the published text, written out here by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.errors import BadInput
from groundup.prompts import PROMPT_STYLES, format_prompt

# Taori et al. 2023, "Stanford Alpaca", README, section "Data Release".
WITH_INPUT = """\
Below is an instruction that describes a task, paired with an input that provides further context. \
Write a response that appropriately completes the request.

### Instruction:
Say the first word.

### Input:
tea, red

### Response:
"""
WITHOUT_INPUT = """\
Below is an instruction that describes a task. Write a response that appropriately completes the request.

### Instruction:
Say hello.

### Response:
"""


def test_alpaca_is_the_published_text() -> None:
    assert format_prompt("alpaca", "Say the first word.", "tea, red") == WITH_INPUT
    assert format_prompt("alpaca", "Say hello.") == WITHOUT_INPUT


def test_alpaca_short_is_alpaca_without_its_preamble() -> None:
    for instruction, input in (("Say the first word.", "tea, red"), ("Say hello.", "")):
        long, short = (format_prompt(style, instruction, input) for style in ("alpaca", "alpaca_short"))
        assert long.endswith(short)
        assert short.startswith("### Instruction:\n")


@given(st.sampled_from(sorted(PROMPT_STYLES)), st.text(), st.text())
def test_prompt_ends_where_the_response_begins(style: str, instruction: str, input: str) -> None:
    prompt = format_prompt(style, instruction, input)
    assert prompt.endswith("### Response:\n")
    assert f"### Instruction:\n{instruction}\n" in prompt
    assert (f"### Input:\n{input}\n" in prompt) == bool(input.strip()) or "### Input:" in instruction


def test_unknown_style_names_the_known_ones() -> None:
    with pytest.raises(BadInput, match=r"'vicuna'.*alpaca, alpaca_short"):
        format_prompt("vicuna", "Say hello.")
