"""Documents of the pretraining text: {"id": str, "messages": [str, ...]}."""

from collections.abc import Iterator, Sequence
from typing import Any

from groundup.errors import BadInput
from groundup.text.shards import Part, read_part

Document = dict[str, Any]


def text_of(messages: Sequence[str]) -> str:
    """Return the text of a pretraining document as the model reads it: one message per line."""
    return "\n".join(messages)


def messages_of(part: Part) -> Iterator[list[str]]:
    """Yield the messages of each document of a part of a prepared corpus.

    Raises:
        BadInput: as `read_part` does, or a line is not a document or not valid Unicode; the message names the line.
    """
    return (row["messages"] for row in read_part(part, _problem_of))


def check_text(text: str) -> None:
    """Raise BadInput if `text` cannot be encoded as UTF-8."""
    if problem := problem_of_text(text):
        raise BadInput(problem)


def problem_of_text(text: str) -> str:
    """Return why `text` cannot be encoded as UTF-8; "" if it can."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return (
            f"the text has half a surrogate pair (U+{ord(text[error.start]):04X}) at character {error.start}, which "
            f"UTF-8 cannot encode; decode the source again with its own encoding."
        )
    return ""


def _problem_of(row: Document) -> str:
    messages = row.get("messages")
    if not isinstance(messages, list) or not all(isinstance(message, str) for message in messages):
        return (
            "it has no list of strings called messages; expected one document per line: run the stage prepare_corpus "
            "again."
        )
    return problem_of_text(text_of(messages))
