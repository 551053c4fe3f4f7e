"""Conversations become rows of their last turn, by hand."""

from typing import Any

import pytest

from groundup.datasets.conversations import is_history, last_turn, said_before
from groundup.errors import BadInput


def talk(*texts: str) -> list[dict[str, str]]:
    """ "s: ..." is a message of the system, "u: ..." of the user, "a: ..." of the assistant."""
    roles = {"s": "system", "u": "user", "a": "assistant"}
    return [{"role": roles[text[0]], "content": text[3:]} for text in texts]


def test_the_last_answer_and_its_question() -> None:
    assert last_turn(talk("u: Hi", "a: Hello"), "f") == {"instruction": "Hi", "input": "", "output": "Hello"}
    row = last_turn([*talk("s: Be kind", "u: Hi", "a: Hello", "u: Bye", "a: See you"), *talk("u: Wait")], "f")
    history = talk("s: Be kind", "u: Hi", "a: Hello")
    assert row == {"instruction": "Bye", "input": "", "output": "See you", "history": history}
    assert said_before(row, "user") == ["Hi"]
    assert said_before(row, "assistant") == ["Hello"]
    assert said_before({"instruction": "Hi"}, "user") == []
    named = [{"name": "Ada", **message} for message in talk("s: Be kind", "u: Hi", "a: Hello")]
    assert last_turn(named, "f")["history"] == talk("s: Be kind")  # keys of others are left out


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([], "no message of the assistant"),
        (talk("u: Hi"), "no message of the assistant"),
        (talk("s: Be kind"), "no message of the assistant"),
        (talk("a: Hi"), "message 1 with role 'assistant' instead of user or system"),
        (talk("u: Hi", "u: Hi", "a: x"), "message 2 with role 'user' instead of assistant"),
        (talk("u: Hi", "a: x", "s: y"), "message 3 with role 'system' instead of user"),
        (talk("u: Hi", "a:  "), "message 2 without a text"),
        ([{"role": "user", "content": ["Hi"]}], "message 1 without a text"),
        (["Hi"], "message 1 with role 0"),
        ("Hi", "messages of type str"),
    ],
)
def test_what_is_no_conversation(messages: Any, words: str) -> None:
    with pytest.raises(BadInput, match=f"tasks.jsonl, line 3: found {words}"):
        last_turn(messages, "tasks.jsonl, line 3")


def test_what_a_request_may_follow() -> None:
    for messages in (
        [],
        talk("s: Be kind"),
        talk("u: Hi", "a: Hello"),
        talk("s: Be kind", "u: Hi", "a: Hello"),
    ):
        assert is_history(messages)
    for wrong in (talk("u: Hi"), talk("u: Hi", "a: x", "u: y"), talk("a: x"), None, "Hi", {}):
        assert not is_history(wrong)
