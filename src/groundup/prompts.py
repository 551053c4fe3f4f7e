"""Prompt styles: how an instruction and its input become the text after which the response begins.

A checkpoint saves the name of its style, so that generation asks the way training did.
"""

from dataclasses import dataclass

from groundup.errors import BadInput


@dataclass(frozen=True)
class PromptStyle:
    """Three headers, "### Instruction:", "### Input:" and "### Response:", and what stands around them."""

    with_input: str = ""  # preamble
    without_input: str = ""  # preamble where there is no input
    after_header: str = "\n"
    between: str = "\n\n"
    before_response: str = "\n"  # the end of the prompt
    response_start: str = ""  # the beginning of the response


PROMPT_STYLES = {
    # Stanford Alpaca (Taori et al. 2023), to the letter.
    "alpaca": PromptStyle(
        with_input="Below is an instruction that describes a task, paired with an input that provides further "
        "context. Write a response that appropriately completes the request.\n\n",
        without_input="Below is an instruction that describes a task. "
        "Write a response that appropriately completes the request.\n\n",
    ),
    # For small models: the same headers in less than half of the tokens. Text follows a header on its line, so that
    # a word is the same token in the input and at the start of the response: with its space before it.
    "alpaca_short": PromptStyle(after_header=" ", between="\n", before_response="", response_start=" "),
}


def format_prompt(style: str, instruction: str, input: str = "") -> str:
    """The prompt up to where the response begins; a blank `input` drops its section.

    format_prompt("alpaca_short", "Say the first word.", "tea, red") ->
    "### Instruction: Say the first word.\\n### Input: tea, red\\n### Response:"

    Raises:
        BadInput: no such style.
    """
    chosen = _style(style)
    sections = [f"### Instruction:{chosen.after_header}{instruction}"]
    if input.strip():
        sections.append(f"### Input:{chosen.after_header}{input}")
    preamble = chosen.with_input if input.strip() else chosen.without_input
    return preamble + chosen.between.join([*sections, "### Response:"]) + chosen.before_response


def format_response(style: str, output: str) -> str:
    """The text that continues the prompt; strip it to get the answer back."""
    return _style(style).response_start + output


def _style(name: str) -> PromptStyle:
    if name not in PROMPT_STYLES:
        raise BadInput(
            f"Found the prompt style {name!r}; expected one of {', '.join(PROMPT_STYLES)}; correct it."
        )
    return PROMPT_STYLES[name]
