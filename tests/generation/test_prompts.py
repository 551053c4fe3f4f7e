"""Prompt styles; the oracle is the text of the publication, copied here by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.errors import BadInput
from groundup.generation.prompts import (
    CHAT_TEMPLATE,
    PROMPT_STYLES,
    Prompter,
    Request,
    format_prompt,
    format_response,
    templates_of,
)
from groundup.tokenizers.bpe import BPETokenizer

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


def test_alpaca_short_by_hand() -> None:
    with_input = "### Instruction: Say the first word.\n### Input: tea, red\n### Response:"
    assert format_prompt("alpaca_short", "Say the first word.", "tea, red") == with_input
    assert format_prompt("alpaca_short", "Say hello.") == "### Instruction: Say hello.\n### Response:"
    assert format_response("alpaca_short", "tea") == " tea"
    assert format_response("alpaca", "tea") == "tea"


@given(st.sampled_from(sorted(PROMPT_STYLES)), st.text(), st.text())
def test_sections_are_in_order_and_the_response_is_empty(style: str, instruction: str, input: str) -> None:
    prompt = format_prompt(style, instruction, input)
    before, header, after = prompt.rpartition("### Response:")
    assert header and not after.strip()
    assert f"### Instruction:{PROMPT_STYLES[style].after_header}{instruction}" in before
    assert (f"### Input:{PROMPT_STYLES[style].after_header}{input}" in before) or not input.strip()


@pytest.mark.parametrize("style", PROMPT_STYLES)
def test_templates_with_their_variables_filled_are_the_prompts(style: str) -> None:
    templates = templates_of(style)
    filled = {
        name: text.replace("{{instruction}}", "Say it.").replace("{{input}}", "tea")
        for name, text in templates.items()
    }
    assert filled == {
        f"groundup-{style}": format_prompt(style, "Say it.", "tea"),
        f"groundup-{style}-without-input": format_prompt(style, "Say it."),
    }
    assert templates_of(CHAT_TEMPLATE) == {}


def test_unknown_style_names_the_known_ones() -> None:
    with pytest.raises(BadInput, match=r"'vicuna'.*alpaca, alpaca_short"):
        format_prompt("vicuna", "Say hello.")


def test_the_begin_token_occurs_once_in_a_conversation() -> None:
    ranks = {bytes([byte]): byte for byte in range(256)}
    tokenizer = BPETokenizer(ranks, "gpt2", ["<|endoftext|>", "<|begin|>"], begin="<|begin|>")
    prompter = Prompter("alpaca_short", tokenizer)
    history = [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}]
    [single, later] = prompter.prompts([("Say hello.", ""), Request("Say hello.", history=history)])
    assert single == [257, *format_prompt("alpaca_short", "Say hello.").encode()]
    assert later[0] == 257 and later.count(257) == 1 and later.count(256) == 1
    assert prompter.completions(["Hello."]) == [[*b" Hello.", 256]]
