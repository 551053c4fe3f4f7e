"""Instruction rows from conversations: the last request, its answer, and the messages before them.

{"messages": [{"role": "system", "user" or "assistant", "content": str}, ...]} becomes {"instruction",
"input", "output"} from its last request and answer, and "history" with the messages before them, if any.
"""

from collections.abc import Mapping
from typing import Any

from groundup.errors import BadInput


def last_turn(messages: Any, where: str) -> dict[str, Any]:
    """Turn a conversation into an instruction row: its last request, the answer, and what came before.

    An unanswered message of the user at the end is left out.

    Args:
        messages: the conversation, [{"role": str, "content": str}, ...].
        where: file and line, for messages.

    Returns:
        {"instruction", "input" (empty), "output"}, and "history" if there are earlier messages.

    Raises:
        BadInput: the messages are not a conversation, or no request in them is answered.
    """
    found = fault(messages)
    if found is None and messages and messages[-1]["role"] == "user":
        messages = messages[:-1]
    if found is None and (not messages or messages[-1]["role"] != "assistant"):
        found = "no message of the assistant"
    if found:
        raise BadInput(
            f"{where}: found {found}; expected an optional system message, then user and assistant in turn, each "
            f'as {{"role": ..., "content": text}}: correct or remove the conversation.'
        )
    *history, asked, answered = (
        {"role": message["role"], "content": message["content"]} for message in messages
    )
    row = {"instruction": asked["content"], "input": "", "output": answered["content"]}
    return {**row, "history": history} if history else row


def fault(messages: Any) -> str | None:
    """Return the first fault of a conversation, as a phrase for an error message, or None if it is valid."""
    if not isinstance(messages, list):
        return f"messages of type {type(messages).__name__}"
    answered = True
    for number, message in enumerate(messages, start=1):
        role, content = (
            (message.get(key) for key in ("role", "content")) if isinstance(message, dict) else (0, 0)
        )
        roles = ("user" if answered else "assistant", *(["system"] if number == 1 else []))
        if role not in roles:
            return f"message {number} with role {role!r} instead of {' or '.join(roles)}"
        if not isinstance(content, str) or not content.strip():
            return f"message {number} without a text"
        answered = role != "user"
    return None


def is_history(value: Any) -> bool:
    """Return whether a request may follow these messages: they are valid, and the last is not the user's."""
    return fault(value) is None and (not value or value[-1]["role"] != "user")


def said_before(row: Mapping[str, Any], role: str) -> list[str]:
    """Return the messages of one role in the history of an instruction row."""
    return [message["content"] for message in row.get("history", ()) if message["role"] == role]
