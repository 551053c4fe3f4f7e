"""Prompt styles: how an instruction and its input become the text after which the response begins.

A checkpoint saves the name of its style, so that generation asks the way training did.
"""

from groundup.errors import BadInput

# The preamble of Stanford Alpaca (Taori et al. 2023), with and without an input.
_WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request.\n\n"
)
_WITHOUT_INPUT = (
    "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request.\n\n"
)

# name -> (preamble with input, preamble without input)
PROMPT_STYLES: dict[str, tuple[str, str]] = {
    "alpaca": (_WITH_INPUT, _WITHOUT_INPUT),
    "alpaca_short": ("", ""),  # the same headers; a third of the tokens for a small model
}


def format_prompt(style: str, instruction: str, input: str = "") -> str:
    """The prompt up to where the response begins; a blank `input` drops its section.

    format_prompt("alpaca_short", "Say the first word.", "tea, red") ->
    "### Instruction:\\nSay the first word.\\n\\n### Input:\\ntea, red\\n\\n### Response:\\n"

    Raises:
        BadInput: no such style.
    """
    if style not in PROMPT_STYLES:
        raise BadInput(
            f"Found the prompt style {style!r}; expected one of {', '.join(PROMPT_STYLES)}; correct it."
        )
    with_input, without_input = PROMPT_STYLES[style]
    if not input.strip():
        return f"{without_input}### Instruction:\n{instruction}\n\n### Response:\n"
    return f"{with_input}### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:\n"
