"""Documents of the pretraining text: {"id": str, "messages": [str, ...]}."""

from collections.abc import Sequence
from typing import Any

Document = dict[str, Any]


def text_of(messages: Sequence[str]) -> str:
    """Return the text of a pretraining document as the model reads it: one message per line."""
    return "\n".join(messages)
