"""Chat templates: a conversation as the text that a model was taught to read, by the Jinja template published with it.

The template is text from outside, so it runs in Jinja's sandbox, which gives it nothing but the conversation. Templates
are written for the environment of transformers, so this one has the same settings, names and filters.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from groundup.errors import BadInput

Message = Mapping[str, str]  # {"role": "system" | "user" | "assistant", "content"}


@dataclass(frozen=True)
class ChatTemplate:
    """A template and the special tokens that it may write."""

    source: str
    bos_token: str | None = None
    eos_token: str | None = None

    @cached_property
    def _compiled(self) -> jinja2.Template:
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, "jinja2.ext.loopcontrols"]
        )
        environment.filters["tojson"] = _to_json
        environment.globals |= {
            "raise_exception": _refuse,
            "strftime_now": lambda format: datetime.now().strftime(format),
            "namespace": _PublicNamespace,
        }
        try:
            return environment.from_string(self.source)
        except Exception as error:  # Jinja writes Python, which may be none
            raise BadInput(
                f"the chat template is no Jinja ({error}); expected the one published with the model: take its folder "
                f"anew."
            ) from error

    def render(self, messages: Sequence[Message], *, answer: bool) -> str:
        """The conversation as text; with `answer`, up to where the model's next message begins.

        Raises:
            BadInput: the template is damaged, or refuses the conversation; its own words are told.
        """
        tokens = {"bos_token": self.bos_token, "eos_token": self.eos_token}
        try:
            return self._compiled.render(
                messages=[dict(message) for message in messages],
                tools=None,
                documents=None,
                add_generation_prompt=answer,
                **{name: token for name, token in tokens.items() if token is not None},
            )
        except BadInput:
            raise
        except Exception as error:  # what runs is foreign
            raise BadInput(
                f"the chat template fails on a conversation of {len(messages)} messages ({type(error).__name__}: "
                f"{error}); most expect roles system, user and assistant in turn: correct these, or take another model."
            ) from error

    def turns(self, messages: Sequence[Message], *, answer: bool = False) -> list[tuple[str, bool]]:
        """The conversation in pieces: (text, whether the assistant writes it), which together are the whole text.

        With `answer`, up to where the model's next message begins. Only pieces of the assistant are to be learned; what
        the template puts in front of an answer is not.

        Raises:
            BadInput: as for `render`; or the template writes earlier messages otherwise when later ones follow.
        """
        pieces: list[tuple[str, bool]] = []
        done = ""
        for n, message in enumerate(messages):
            if message["role"] == "assistant":
                asked = self.render(messages[:n], answer=True)
                answered = self.render(messages[: n + 1], answer=False)
                pieces += [(self._rest(done, asked), False), (self._rest(asked, answered), True)]
                done = answered
        whole = self.render(messages, answer=answer)
        rest = self._rest(done, whole)
        return pieces + ([(rest, False)] if rest else [])

    def _rest(self, beginning: str, text: str) -> str:
        if not text.startswith(beginning):
            raise BadInput(
                "the chat template writes a message otherwise when others follow it, so its answers cannot be told "
                "apart; give conversations of one question and one answer."
            )
        return text[len(beginning) :]


class _Generation(Extension):
    """`{% generation %}` ... `{% endgeneration %}` marks what the assistant writes, and adds nothing."""

    tags = {"generation"}  # noqa: RUF012  Jinja's own attribute

    def parse(self, parser: Parser) -> nodes.Node:
        """A call, as in transformers: what is set inside is not known behind it."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_written"), [], [], body).set_lineno(line)

    def _written(self, caller: Callable[[], str]) -> str:
        return caller()


class _PublicNamespace(Namespace):
    """Jinja's `namespace`, which stores no name with an underscore in front: these lead to Python's own attributes."""

    def __init__(self, *args: Any, **values: Any) -> None:
        super().__init__()
        for name, value in dict(*args, **values).items():
            self[name] = value

    def __setitem__(self, name: str, value: Any) -> None:
        if isinstance(name, str) and name.startswith("_"):
            raise jinja2.exceptions.SecurityError(f"a namespace stores no name with an underscore: {name}")
        super().__setitem__(name, value)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _refuse(message: str) -> Any:
    raise jinja2.TemplateError(message)
