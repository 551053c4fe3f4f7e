"""Prompt styles: how an instruction and its input become the text after which the response begins.

A checkpoint saves the name of its style, so that generation asks the way training did. Published chat models bring a
template of their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from groundup.chat_template import ChatTemplate, Message
from groundup.errors import BadInput
from groundup.tokenizers.bpe import BPETokenizer
from groundup.tokenizers.loading import Tokenizer

CHAT_TEMPLATE = "chat_template"  # the style of a published model that brings its own
DEFAULT_STYLE = "alpaca_short"  # for asking a model that was never taught a style


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


@dataclass(frozen=True)
class Prompter:
    """How one model is asked: its style, the tokenizer, and the chat template that a published one brings along."""

    style: str  # a name of PROMPT_STYLES, or CHAT_TEMPLATE
    tokenizer: Tokenizer
    template: ChatTemplate | None = None

    def __post_init__(self) -> None:
        if self.style != CHAT_TEMPLATE:
            _style(self.style)
        elif self.template is None:
            raise BadInput(
                f"the prompt style is {CHAT_TEMPLATE}, but the model brings no template; choose one of "
                f"{', '.join(PROMPT_STYLES)}."
            )

    def prompts(self, requests: Sequence[tuple[str, str]]) -> list[list[int]]:
        """The ids of (instruction, input) pairs, up to where the answer begins.

        Raises:
            BadInput: a request holds a special token of a chat template.
        """
        if self.template is None or self.style != CHAT_TEMPLATE:
            return self.tokenizer.encode_batch([format_prompt(self.style, *request) for request in requests])
        asked = ["\n\n".join(part for part in request if part.strip()) for request in requests]
        return [self.conversation([{"role": "user", "content": text}]) for text in asked]

    def completions(self, outputs: Sequence[str]) -> list[list[int]]:
        """The ids of answers, each with the token that ends it."""
        texts = outputs
        if self.style != CHAT_TEMPLATE:
            texts = [format_response(self.style, output) for output in outputs]
        return [[*ids, self.tokenizer.eot_id] for ids in self.tokenizer.encode_batch(texts)]

    def conversation(self, messages: Sequence[Message]) -> list[int]:
        """The ids of a conversation in the chat template, up to where the model's next message begins.

        Raises:
            BadInput: the template fails, or a message holds one of the special tokens that it sets between messages.
        """
        assert self.template is not None and isinstance(self.tokenizer, BPETokenizer)
        check_messages(messages, self.tokenizer)
        return self.tokenizer.encode_batch([self.template.render(messages, answer=True)], allow_special=True)[
            0
        ]


def check_messages(messages: Sequence[Message], tokenizer: BPETokenizer) -> None:
    """Raise BadInput where a message holds a special token: it could pretend that another one speaks."""
    for message in messages:
        for special in tokenizer.special_tokens:
            if special in message["content"]:
                raise BadInput(
                    f"a message of {message['role']} holds {special}, which marks messages for the model; leave it "
                    f"out, or write it otherwise."
                )


def _style(name: str) -> PromptStyle:
    if name not in PROMPT_STYLES:
        raise BadInput(
            f"Found the prompt style {name!r}; expected one of {', '.join(PROMPT_STYLES)}; correct it."
        )
    return PROMPT_STYLES[name]
