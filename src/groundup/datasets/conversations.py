"""Conversations among the instruction rows: the last request and its answer, and what was said before.

{"messages": [{"role": "system", "user" or "assistant", "content": str}, ...]} becomes {"instruction", "input",
"output"} of its last question and answer, and {"history": the messages before them}, where there are any.
"""

from collections.abc import Mapping
from typing import Any

from groundup.errors import BadInput


def last_turn(messages: Any, where: str) -> dict[str, Any]:
    """Instruction, input and output of the last answer and its question, with a history where others stand before.

    A message of the user that nobody answers, at the end, is left out.

    Raises:
        BadInput: the messages are not a conversation, or nothing in them is answered; `where` names it.
    """
    found = fault(messages)
    if found is None and messages and messages[-1]["role"] == "user":
        messages = messages[:-1]
    if found is None and (not messages or messages[-1]["role"] != "assistant"):
        found = "no message of the assistant"
    if found:
        raise BadInput(
            f"{where}: found {found}; expected messages of perhaps the system, then user and assistant in turn, each "
            f'as {{"role": ..., "content": text}}: correct or remove the conversation.'
        )
    *history, asked, answered = (
        {"role": message["role"], "content": message["content"]} for message in messages
    )
    row = {"instruction": asked["content"], "input": "", "output": answered["content"]}
    return {**row, "history": history} if history else row


def fault(messages: Any) -> str | None:
    """The first thing that makes this no conversation, for a message; None where it is one."""
    if not isinstance(messages, list):
        return f"messages of type {type(messages).__name__}"
    answered = True
    for number, message in enumerate(messages, start=1):
        role, content = (
            (message.get(key) for key in ("role", "content")) if isinstance(message, dict) else (0, 0)
        )
        roles = ("user" if answered else "assistant", *(["system"] if number == 1 else []))
        if role not in roles:
            return f"message {number} of role {role!r} and not {' or '.join(roles)}"
        if not isinstance(content, str) or not content.strip():
            return f"message {number} without a text"
        answered = role != "user"
    return None


def is_history(value: Any) -> bool:
    """Are these messages that a request may follow: none, of the system, or ending with an answer?"""
    return fault(value) is None and (not value or value[-1]["role"] != "user")


def said_before(row: Mapping[str, Any], role: str) -> list[str]:
    """What the user, or the assistant, says in the history of a row."""
    return [message["content"] for message in row.get("history", ()) if message["role"] == role]
