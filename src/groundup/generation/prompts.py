"""Prompt styles: how an instruction and its input become the text after which the response begins.

A checkpoint saves the name of its style, so that generation asks the way training did. Published chat models bring a
template of their own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

from groundup.errors import BadInput
from groundup.generation.chat_template import ChatTemplate, Message
from groundup.tokenizers.bpe import BPETokenizer
from groundup.tokenizers.loading import Tokenizer

CHAT_TEMPLATE = "chat_template"  # the style of a published model that brings its own
DEFAULT_STYLE = "alpaca_short"  # for asking a model that was never taught a style
Turn = tuple[list[int], bool]  # ids, and whether the model is to write them


class Request(NamedTuple):
    """What a model is asked; `history` holds the messages before, of perhaps the system, then user and assistant."""

    instruction: str
    input: str = ""
    history: Sequence[Message] = ()

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Request":
        """That of an instruction row."""
        return cls(row["instruction"], row["input"], row.get("history", ()))


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

    def prompts(self, requests: Sequence[tuple[str, str] | Request]) -> list[list[int]]:
        """The ids of requests, up to where the answer begins.

        Raises:
            BadInput: a request holds a special token of a chat template, or a history that the style cannot write.
        """
        turns = self._encode([self._texts(Request(*request)) for request in requests])
        return [[*chain.from_iterable(ids for ids, _ in conversation)] for conversation in turns]

    def completions(self, outputs: Sequence[str]) -> list[list[int]]:
        """The ids of answers, each with the token that ends it."""
        return [turn[0] for [turn] in self._encode([[(self._response(output), True)] for output in outputs])]

    def answered(self, requests: Sequence[Request], outputs: Sequence[str]) -> list[list[Turn]]:
        """The ids of requests with their answers, turn by turn; the answers in the histories are to be written too.

        Each answer ends with the token that ends it. A prompt and an answer are encoded apart, as when the model is
        asked; where answers begin with a word, the ids together are those of the whole text.

        Raises:
            BadInput: as for `prompts`.
        """
        return self._encode(
            [self._texts(request, output) for request, output in zip(requests, outputs, strict=True)]
        )

    def _encode(self, conversations: Sequence[Sequence[tuple[str, bool]]]) -> list[list[Turn]]:
        """Encode the pieces of conversations, those of the model each with the token that ends it."""
        written = [text for pieces in conversations for text, learned in pieces if learned]
        read = [text for pieces in conversations for text, learned in pieces if not learned]
        answers = iter(self.tokenizer.encode_batch(written))
        if self.style == CHAT_TEMPLATE:
            assert isinstance(self.tokenizer, BPETokenizer)
            others = iter(self.tokenizer.encode_batch(read, allow_special=True))
            begin: tuple[int, ...] = ()  # a template writes it itself
        else:
            others = iter(self.tokenizer.encode_batch(read))
            begin = self.tokenizer.prefix_ids
        return [
            [
                ([*next(answers), self.tokenizer.eot_id], True)
                if learned
                else ([*(begin if n == 0 else ()), *next(others)], False)
                for n, (_, learned) in enumerate(pieces)
            ]
            for pieces in conversations
        ]

    def _texts(self, request: Request, output: str | None = None) -> list[tuple[str, bool]]:
        """A request, perhaps with its answer, in pieces: (text, whether the model writes it, and then its end)."""
        if self.style == CHAT_TEMPLATE:
            asked = "\n\n".join(part for part in (request.instruction, request.input) if part.strip())
            messages = [*request.history, {"role": "user", "content": asked}]
            if request.history and output is not None:
                return self._turns([*messages, {"role": "assistant", "content": output}])
            pieces = self._turns(messages)
        else:
            pieces = [self._piece(message) for message in request.history]
            pieces.append((format_prompt(self.style, request.instruction, request.input), False))
        return pieces if output is None else [*pieces, (self._response(output), True)]

    def _response(self, output: str) -> str:
        return output if self.style == CHAT_TEMPLATE else format_response(self.style, output)

    def _piece(self, message: Message) -> tuple[str, bool]:
        if message["role"] == "system":
            raise BadInput(
                f"a conversation begins with a message of the system, for which the prompt style {self.style} has no "
                f"place; choose the style {CHAT_TEMPLATE} with a model that brings a template, or remove the message."
            )
        if message["role"] == "assistant":
            return format_response(self.style, message["content"]), True
        return format_prompt(self.style, message["content"]), False

    def _turns(self, messages: Sequence[Message]) -> list[tuple[str, bool]]:
        """The pieces of a conversation in the chat template; what it writes behind an answer goes to the next one."""
        assert self.template is not None and isinstance(self.tokenizer, BPETokenizer)
        check_messages(messages, self.tokenizer)
        end, behind = self.tokenizer.end, ""
        pieces: list[tuple[str, bool]] = []
        for text, learned in self.template.turns(messages, answer=messages[-1]["role"] == "user"):
            if not learned:
                pieces.append((behind + text, False))
                continue
            answer, found, behind = text.partition(end)
            if not found:
                raise BadInput(
                    f"the chat template does not end the answers of a conversation with {end}, at which the model "
                    f"stops; give conversations of one question and one answer, or take another model."
                )
            pieces.append((answer, True))
        return pieces

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
