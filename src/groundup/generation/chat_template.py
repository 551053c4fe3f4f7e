"""Chat templates turn a conversation into text in the format that a model was trained on.

Each chat model comes with its own template. It is untrusted Jinja code, so it runs in Jinja's sandbox and
sees only the conversation. Templates are written for the environment of transformers, so this environment has
the same settings, names and filters.
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
    """A chat template and the special tokens that it may use.

    Attributes:
        source: the template, in Jinja.
        bos_token: the text of the token that begins a conversation; None if the model has none.
        eos_token: the text of the token that ends a message; None if the model has none.
    """

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
        except Exception as error:  # Jinja compiles to Python, which may be invalid
            raise BadInput(
                f"the chat template is not valid Jinja ({error}); expected the template of the model: download the "
                f"model again."
            ) from error

    def render(self, messages: Sequence[Message], *, answer: bool) -> str:
        """Render a conversation as text by the chat template.

        Args:
            messages: the conversation.
            answer: append the header of the model's next message.

        Raises:
            BadInput: the template is damaged or refuses the conversation; the error quotes its reason.
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
        except Exception as error:  # a template can fail in any way
            raise BadInput(
                f"the chat template fails on a conversation of {len(messages)} messages ({type(error).__name__}: "
                f"{error}); most templates expect the roles user and assistant in turn: correct the messages, or take "
                f"another model."
            ) from error

    def turns(self, messages: Sequence[Message], *, answer: bool = False) -> list[tuple[str, bool]]:
        """Render a conversation by the chat template, in pieces.

        Returns:
            Pairs of a text and whether the assistant writes it. The assistant's pieces, which are the targets
            in training, do not include the headers that the template puts before them.

        Raises:
            BadInput: as `render` does; or the template renders a message differently when others follow it.
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
                "the chat template renders a message differently when others follow it, so the answers cannot be "
                "found in the text; expected a template that does not: give conversations of one question and one "
                "answer."
            )
        return text[len(beginning) :]


class _Generation(Extension):
    """The Jinja block `{% generation %}` ... `{% endgeneration %}` of chat templates.

    It marks the text that the assistant writes, and does not change it.
    """

    tags = {"generation"}  # noqa: RUF012  Jinja's own attribute

    def parse(self, parser: Parser) -> nodes.Node:
        """Parse the block as a call, as transformers does: variables set in it are not visible later."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_written"), [], [], body).set_lineno(line)

    def _written(self, caller: Callable[[], str]) -> str:
        return caller()


class _PublicNamespace(Namespace):
    """Jinja's `namespace`, restricted to names without a leading underscore.

    Other names would give a chat template access to Python's own attributes.
    """

    def __init__(self, *args: Any, **values: Any) -> None:
        super().__init__()
        for name, value in dict(*args, **values).items():
            self[name] = value

    def __setitem__(self, name: str, value: Any) -> None:
        if isinstance(name, str) and name.startswith("_"):
            raise jinja2.exceptions.SecurityError(
                f"a namespace takes no name that begins with an underscore: {name}"
            )
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
