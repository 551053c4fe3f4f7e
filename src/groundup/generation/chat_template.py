"""Chat templates turn a conversation into text in the format that a model was trained on.

Each chat model comes with its own template. It is untrusted Jinja code, so it runs in Jinja's sandbox, in a process of
its own that has limits (see `template_process`), and sees only the conversation. Templates are written for the
environment of transformers, so this environment has the same settings, names and filters.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from groundup.errors import BadInput
from groundup.generation.template_process import PROCESS, TemplateFault

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

    def render(self, messages: Sequence[Message], *, answer: bool) -> str:
        """Render a conversation as text by the chat template.

        Args:
            messages: the conversation.
            answer: append the header of the model's next message.

        Raises:
            BadInput: the template is damaged or refuses the conversation; the error quotes its reason.
        """
        tokens = {"bos_token": self.bos_token, "eos_token": self.eos_token}
        values = {
            "messages": [dict(message) for message in messages],
            "tools": None,
            "documents": None,
            "add_generation_prompt": answer,
            **{name: token for name, token in tokens.items() if token is not None},
        }
        try:
            return PROCESS.render(self.source, values)
        except TemplateFault as error:
            if error.stage == "compile":
                raise BadInput(
                    f"the chat template is not valid Jinja ({error}); expected the template of the model: download "
                    f"the model again."
                ) from error
            raise BadInput(
                f"the chat template fails on a conversation of {len(messages)} messages ({error}); most templates "
                f"expect the roles user and assistant in turn: correct the messages, or take another model."
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
