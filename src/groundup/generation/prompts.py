"""Prompt styles turn an instruction and its input into the text that the response continues.

A checkpoint stores the name of its style, so that generation uses the same prompts as training. Chat models
come with a template of their own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

from groundup.errors import BadInput
from groundup.generation.chat_template import ChatTemplate, Message
from groundup.tokenizers.bpe import BPETokenizer
from groundup.tokenizers.loading import Tokenizer

CHAT_TEMPLATE = "chat_template"  # the style of a model that comes with its own template
ROLES = ("system", "user", "assistant")
DEFAULT_STYLE = "alpaca_short"  # for a model that was never finetuned with a style
Turn = tuple[list[int], bool]  # token ids, and whether the model writes them


class Request(NamedTuple):
    """A request to a model.

    Attributes:
        instruction: what the model should do.
        input: the text to do it with; may be empty.
        history: earlier messages: an optional system message, then user and assistant in turn.
    """

    instruction: str
    input: str = ""
    history: Sequence[Message] = ()

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Request":
        """Make a request from an instruction row."""
        return cls(row["instruction"], row["input"], row.get("history", ()))


@dataclass(frozen=True)
class PromptStyle:
    """A prompt style: the texts around the headers "### Instruction:", "### Input:" and "### Response:"."""

    with_input: str = ""  # preamble of a prompt with an input
    without_input: str = ""  # preamble of a prompt without an input
    after_header: str = "\n"
    between: str = "\n\n"  # between sections
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
    # For small models: the same headers, with less than half of the tokens. Text is on the same line as its
    # header, so that a word has a space before it, and so the same token, in the input and in the response.
    "alpaca_short": PromptStyle(after_header=" ", between="\n", before_response="", response_start=" "),
}


def format_prompt(style: str, instruction: str, input: str = "") -> str:
    """Return the prompt for an instruction, up to the beginning of the response.

    If `input` is blank, the prompt has no section for it.

    format_prompt("alpaca_short", "Say the first word.", "tea, red") ->
    "### Instruction: Say the first word.\\n### Input: tea, red\\n### Response:"

    Raises:
        BadInput: there is no such style.
    """
    chosen = _style(style)
    sections = [f"### Instruction:{chosen.after_header}{instruction}"]
    if input.strip():
        sections.append(f"### Input:{chosen.after_header}{input}")
    preamble = chosen.with_input if input.strip() else chosen.without_input
    return preamble + chosen.between.join([*sections, "### Response:"]) + chosen.before_response


def templates_of(style: str) -> dict[str, str]:
    """The prompts of a style with {{instruction}} and {{input}} in them, by name; none for a model's own template.

    Raises:
        BadInput: there is no such style.
    """
    if style == CHAT_TEMPLATE:
        return {}
    return {
        f"groundup-{style}": format_prompt(style, "{{instruction}}", "{{input}}"),
        f"groundup-{style}-without-input": format_prompt(style, "{{instruction}}"),
    }


def format_response(style: str, output: str) -> str:
    """Return `output` as it follows the prompt: after the whitespace, if any, with which the style starts a response.

    Raises:
        BadInput: there is no such style.
    """
    return _style(style).response_start + output


@dataclass(frozen=True)
class Prompter:
    """Turns requests into the token ids of prompts, in the prompt style of one model.

    Raises:
        BadInput: there is no such style, or the style is CHAT_TEMPLATE and there is no template.
    """

    style: str  # a name of PROMPT_STYLES, or CHAT_TEMPLATE
    tokenizer: Tokenizer
    template: ChatTemplate | None = None

    def __post_init__(self) -> None:
        if self.style != CHAT_TEMPLATE:
            _style(self.style)
        elif self.template is None:
            raise BadInput(
                f"the prompt style is {CHAT_TEMPLATE}, but the model has no template; expected one of "
                f"{', '.join(PROMPT_STYLES)}: choose one of them."
            )

    def prompts(self, requests: Sequence[tuple[str, str] | Request]) -> list[list[int]]:
        """Return the token ids of the prompt for each request, up to the beginning of the answer.

        Raises:
            BadInput: the style cannot express a history, or the style is a chat template and it fails, or a
                message contains a special token.
        """
        turns = self._encode([self._texts(Request(*request)) for request in requests])
        return [[*chain.from_iterable(ids for ids, _ in conversation)] for conversation in turns]

    def completions(self, outputs: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each answer, with the token that ends it."""
        return [turn[0] for [turn] in self._encode([[(self._response(output), True)] for output in outputs])]

    def answered(self, requests: Sequence[Request], outputs: Sequence[str]) -> list[list[Turn]]:
        """Return the turns of each request and its answer, as token ids, for training.

        The answers in the history also count as written by the model. Each answer includes the token that
        ends it. Prompts and answers are encoded separately, as in generation. If the answers begin with a
        word, the joined ids are those of the whole text.

        Raises:
            BadInput: as `prompts` does.
        """
        return self._encode(
            [self._texts(request, output) for request, output in zip(requests, outputs, strict=True)]
        )

    def _encode(self, conversations: Sequence[Sequence[tuple[str, bool]]]) -> list[list[Turn]]:
        """Encode the pieces of conversations; pieces that the model writes are followed by the end token."""
        written = [text for pieces in conversations for text, learned in pieces if learned]
        read = [text for pieces in conversations for text, learned in pieces if not learned]
        answers = iter(self.tokenizer.encode_batch(written))
        if self.style == CHAT_TEMPLATE:
            assert isinstance(self.tokenizer, BPETokenizer)
            others = iter(self.tokenizer.encode_batch(read, allow_special=True))
            begin: tuple[int, ...] = ()  # a template includes it
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
        """Split a request and its answer, if given, into pieces: (text, whether the model writes it)."""
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
                f"a conversation begins with a system message, which the prompt style {self.style} cannot express; "
                f"expected only messages of user and assistant: remove the message, or choose the style "
                f"{CHAT_TEMPLATE} with a model that has a template."
            )
        if message["role"] == "assistant":
            return format_response(self.style, message["content"]), True
        return format_prompt(self.style, message["content"]), False

    def _turns(self, messages: Sequence[Message]) -> list[tuple[str, bool]]:
        """Split a conversation in the chat template into pieces: (text, whether the model writes it).

        The text that the template puts after the end of an answer is part of the next piece.
        """
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
                    f"the chat template does not end the answers of a conversation with {end}, the token at which the "
                    f"model stops; give conversations of one question and one answer, or take another model."
                )
            pieces.append((answer, True))
        return pieces

    def conversation(self, messages: Sequence[Message]) -> list[int]:
        """Return the token ids of a conversation in the chat template.

        They end with the header of the model's next message.

        Raises:
            BadInput: the template fails, or a message contains a special token.
        """
        assert self.template is not None and isinstance(self.tokenizer, BPETokenizer)
        check_messages(messages, self.tokenizer)
        return self.tokenizer.encode_batch([self.template.render(messages, answer=True)], allow_special=True)[
            0
        ]

    def dialogue(self, messages: Sequence[Message]) -> list[int]:
        """Return the token ids of a conversation, up to the beginning of the model's next message.

        Without a chat template, each message of the user is an instruction; a blank line separates it from its input.

        Raises:
            BadInput: a message has another form, the last one is not the user's, the prompt style cannot express the
                conversation, the template fails, or a message contains a special token.
        """
        for message in messages:
            if not (
                isinstance(message, Mapping)
                and message.get("role") in ROLES
                and isinstance(message.get("content"), str)
            ):
                raise BadInput(
                    f"the conversation has the message {str(message)[:60]}; expected one such as "
                    f'{{"role": "user", "content": "Hello"}}, with one of the roles {", ".join(ROLES)}: correct it.'
                )
        if not messages or messages[-1]["role"] != "user":
            raise BadInput(
                f"the conversation ends with {messages[-1]['role'] if messages else 'nothing'}; expected a message of "
                "the user, which the model can answer: add one."
            )
        if self.style == CHAT_TEMPLATE:
            return self.conversation(messages)
        instruction, _, given = messages[-1]["content"].partition("\n\n")
        [ids] = self.prompts([Request(instruction, given, messages[:-1])])
        return ids


def check_messages(messages: Sequence[Message], tokenizer: BPETokenizer) -> None:
    """Raise BadInput if a message contains a special token, since it could imitate another role."""
    for message in messages:
        for special in tokenizer.special_tokens:
            if special in message["content"]:
                raise BadInput(
                    f"a message of {message['role']} contains {special}, which separates messages for the model; "
                    f"expected text without it: remove or rewrite it."
                )


def _style(name: str) -> PromptStyle:
    if name not in PROMPT_STYLES:
        raise BadInput(
            f"unknown prompt style {name!r}; expected one of {', '.join(PROMPT_STYLES)}: correct it."
        )
    return PROMPT_STYLES[name]
