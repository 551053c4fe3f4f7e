"""Conversations by OpenAI's own client; the oracle is the library without a server."""

from typing import Any

import openai
import pytest

from groundup.generation.likelihood import score
from groundup.model import Model
from tests.serving.running import Running

TALK: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "tea"},
    {"role": "assistant", "content": "cake"},
    {"role": "user", "content": "and"},
]


def ask(server: Running, **changes: Any) -> Any:
    return server.client.chat.completions.create(
        **({"model": "chat", "messages": TALK, "max_completion_tokens": 12} | changes)
    )


def test_answers_are_those_of_the_library_streamed_or_not(server: Running) -> None:
    expected = Model(server.model("chat").checkpoint).chat(TALK, max_new_tokens=12)
    answer = ask(server)
    assert answer.choices[0].message.content.strip() == expected
    assert answer.choices[0].message.role == "assistant" and answer.system_fingerprint == "v1"
    first, *others = ask(server, stream=True, stream_options={"include_usage": True})
    assert first.choices[0].delta.role == "assistant"
    pieces = [event.choices[0].delta.content for event in (first, *others) if event.choices]
    assert "".join(pieces) == answer.choices[0].message.content
    assert others[-2].choices[0].finish_reason == answer.choices[0].finish_reason == "length"
    assert others[-1].usage == answer.usage and answer.usage.completion_tokens == 12
    parts = [{"role": "user", "content": [{"type": "text", "text": "and"}]}]
    said = ask(server, messages=[{**TALK[0], "role": "developer"}, *TALK[1:3], *parts])
    assert said.choices[0].message.content == answer.choices[0].message.content


def test_an_instruction_model_reads_the_last_message(server: Running) -> None:
    talk = [*TALK[1:3], {"role": "user", "content": "Say it.\n\ntea"}]
    expected = Model(server.model("instructed").checkpoint).chat(talk[-1:], max_new_tokens=12)
    answer = ask(server, model="instructed", messages=talk)
    assert answer.choices[0].message.content.strip() == expected
    with pytest.raises(openai.BadRequestError, match="system message, which the prompt style"):
        ask(server, model="instructed")


def test_scores_are_those_of_the_library(server: Running) -> None:
    checkpoint = server.model("chat").checkpoint
    prompt = checkpoint.prompter().dialogue(TALK)
    [choice] = ask(server, logprobs=True, top_logprobs=2).choices
    found = choice.logprobs.content
    written = b"".join(bytes(one.bytes) for one in found)
    assert written.decode() == choice.message.content
    [expected] = score(
        checkpoint.model, [[*prompt, *written]], [len(prompt)], top=2
    )  # a token is a byte here
    assert [one.logprob for one in found] == pytest.approx([one.logprob for one in expected], abs=1e-4)
    for one, other in zip(found, expected, strict=True):
        assert [top.logprob for top in one.top_logprobs] == pytest.approx([p for _, p in other.top], abs=1e-4)
    assert ask(server).choices[0].logprobs is None


def test_refusals(server: Running) -> None:
    for changes, words in (
        ({"messages": TALK[:3]}, "ends with assistant"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": "a<|turn|>b"}]}, "contains <|turn|>"),
        ({"messages": [{"role": "user", "content": "a" * 300}]}, "reads at most 200"),
        ({"model": "text"}, "trained to answer"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools: "),
    ):
        with pytest.raises(openai.BadRequestError, match=words):
            ask(server, **changes)
