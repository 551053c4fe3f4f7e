"""Chat templates: a conversation as the text that a model was taught to read, by the Jinja template published with it.

The template is text from outside, so it runs in Jinja's sandbox, which gives it nothing but the conversation.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

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
        # as transformers compiles them: templates are written for these settings
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.filters["tojson"] = lambda value, **options: json.dumps(
            value, ensure_ascii=False, indent=options.get("indent")
        )
        environment.globals["raise_exception"] = _refuse
        environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
        try:
            return environment.from_string(self.source)
        except jinja2.TemplateError as error:
            raise BadInput(
                f"the chat template is no Jinja ({error}); expected the one published with the model: take its folder "
                f"anew."
            ) from error

    def render(self, messages: Sequence[Message], *, answer: bool) -> str:
        """The conversation as text; with `answer`, up to where the model's next message begins.

        Raises:
            BadInput: the template is damaged, or refuses the conversation; its own words are told.
        """
        try:
            return self._compiled.render(
                messages=[dict(message) for message in messages],
                add_generation_prompt=answer,
                bos_token=self.bos_token or "",
                eos_token=self.eos_token or "",
            )
        except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError, LookupError) as error:
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


def _refuse(message: str) -> Any:
    raise jinja2.TemplateError(message)
