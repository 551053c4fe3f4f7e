"""What a document of the pretraining text is: {"id": str, "messages": [str, ...]}, and its text."""

from collections.abc import Sequence
from typing import Any

Document = dict[str, Any]


def text_of(messages: Sequence[str]) -> str:
    """The text of a document as the model reads it: one message a line."""
    return "\n".join(messages)
