"""Completions by OpenAI's own client; the oracle is the library without a server."""

from typing import Any

import httpx
import openai
import pytest

from groundup.generation.decoding import generate
from groundup.generation.likelihood import score
from groundup.generation.sampling import Sampling
from groundup.serving import chat, completions
from groundup.serving.models import Model
from tests.serving.running import Running

PROMPTS = ["tea and", "cake"]


def alone(server: Running, prompts: list[str], **sampling: Any) -> list[str]:
    checkpoint = server.model("text").checkpoint
    ids = [checkpoint.tokenizer.encode(prompt) for prompt in prompts]
    new = generate(
        checkpoint.model, ids, max_new_tokens=12, sampling=Sampling(**sampling), stop_ids=checkpoint.stop_ids
    )
    return [checkpoint.tokenizer.decode(ids) for ids in new]


def ask(server: Running, **changes: Any) -> Any:
    wanted = {"model": "text", "prompt": PROMPTS, "max_tokens": 12, "temperature": 0} | changes
    return server.client.completions.create(**wanted)


def texts_of(events: Any) -> dict[int, str]:
    texts: dict[int, str] = {}
    for event in events:
        assert event.choices  # only the last event with usage has none, and clients read the first
        for choice in event.choices:
            texts[choice.index] = texts.get(choice.index, "") + choice.text
    return texts


def test_texts_are_those_of_the_library_streamed_or_not(server: Running) -> None:
    expected = alone(server, PROMPTS)
    answer = ask(server)
    assert [choice.text for choice in answer.choices] == expected
    assert texts_of(ask(server, stream=True)) == dict(enumerate(expected))
    ids = [server.model("text").checkpoint.tokenizer.encode(prompt) for prompt in PROMPTS]
    assert [choice.text for choice in ask(server, prompt=ids).choices] == expected
    assert answer.usage.prompt_tokens == sum(map(len, ids)) and answer.model == "text"


def test_nothing_is_sent_while_a_character_is_incomplete(server: Running) -> None:
    with server.saying("text", "a😀b"):
        assert texts_of(ask(server, prompt="cake", stream=True, echo=True)) == {0: "cakea😀b"}


def test_sampled_texts_have_seeds_in_a_row(server: Running) -> None:
    hot = {"temperature": 1.5, "top_p": 0.9}
    expected = alone(server, ["tea"] * 3, seed=5, top_k=40, **hot)
    answer = ask(server, prompt="tea", n=3, seed=5, extra_body={"top_k": 40}, **hot)
    assert [choice.text for choice in answer.choices] == expected
    assert len(set(expected)) == 3
    assert (
        ask(server, prompt="tea", **hot).choices[0].text != ask(server, prompt="tea", **hot).choices[0].text
    )


def test_a_text_ends_before_a_stop_string_also_across_tokens(server: Running) -> None:
    [whole] = alone(server, PROMPTS[:1])
    for start in (1, 6):
        stop = whole[start : start + 3]  # every token of this model is one character
        expected = whole[: whole.index(stop)]
        for stream in (False, True):
            answer = ask(server, prompt=PROMPTS[0], stop=["nowhere", stop], stream=stream, logprobs=0)
            parts = [choice for event in answer for choice in event.choices] if stream else answer.choices
            assert "".join(part.text for part in parts) == expected
            assert parts[-1].finish_reason == "stop"
            assert "".join(token for part in parts for token in part.logprobs.tokens) == expected
    server.until(lambda: server.model("text").is_idle)


def test_scores_of_prompt_and_text_are_those_of_the_library(server: Running) -> None:
    checkpoint = server.model("text").checkpoint
    answer = ask(server, prompt="tea and cake", logprobs=3, echo=True, max_tokens=5)
    [choice] = answer.choices
    found = choice.logprobs
    ids = checkpoint.tokenizer.encode(choice.text)
    [expected] = score(checkpoint.model, [ids], top=3)
    assert found.token_logprobs[0] is None and found.top_logprobs[0] is None
    assert found.token_logprobs[1:] == pytest.approx([one.logprob for one in expected], abs=1e-4)
    for likeliest, one in zip(found.top_logprobs[1:], expected, strict=True):
        wanted = sorted({one.logprob, *(p for _, p in one.top)})
        assert sorted(likeliest.values()) == pytest.approx(wanted, abs=1e-4)
    for place, text in zip(found.text_offset, found.tokens, strict=True):
        assert choice.text[place:].startswith(text)
    streamed = [part for event in ask(
        server, prompt="tea and cake", logprobs=3, echo=True, max_tokens=5, stream=True
    ) for part in event.choices]  # fmt: skip
    assert "".join(part.text for part in streamed) == choice.text
    assert [p for part in streamed for p in part.logprobs.token_logprobs] == found.token_logprobs
    assert [p for part in streamed for p in part.logprobs.text_offset] == found.text_offset

    # what lm-evaluation-harness sends
    only = ask(server, prompt=[ids], logprobs=1, echo=True, max_tokens=0).choices[0]
    assert only.text == choice.text and only.finish_reason == "length"
    assert only.logprobs.token_logprobs[1:] == pytest.approx(found.token_logprobs[1:], abs=1e-4)


@pytest.mark.parametrize(("module", "reader"), [(completions, "encode"), (chat, "prompt_ids")])
def test_a_model_is_in_use_while_a_prompt_is_read(
    server: Running, monkeypatch: pytest.MonkeyPatch, module: Any, reader: str
) -> None:
    """Otherwise it might be closed, if the alias that names it moves."""
    read, seen = getattr(module, reader), list[bool]()

    def reading(model: Model, *prompt: Any) -> Any:
        seen.append(model.is_idle)
        return read(model, *prompt)

    monkeypatch.setattr(module, reader, reading)
    if module is chat:
        said: Any = [{"role": "user", "content": "tea"}]
        server.client.chat.completions.create(model="chat", messages=said, max_completion_tokens=1)
    else:
        ask(server)
    assert seen == [False]
    server.until(lambda: all(model.is_idle for model in server.app.state.models))


def test_usage_at_the_end_of_a_stream(server: Running) -> None:
    *events, last = ask(server, stream=True, stream_options={"include_usage": True})
    assert last.choices == [] and last.usage == ask(server).usage
    assert all(event.usage is None for event in events)


def test_refusals(server: Running) -> None:
    for changes, words in (
        ({"prompt": "a" * 400}, "reads at most 200"),
        ({"prompt": "a" * 100_000}, "100000 characters"),
        ({"prompt": [[1, 262]]}, "ids from 1 to 262"),
        ({"prompt": []}, "prompt"),
        ({"max_tokens": 0}, "max_tokens is 0 without echo"),
        ({"temperature": 3}, "temperature: "),
        ({"frequency_penalty": 1}, "frequency_penalty: "),
        ({"model": "spam"}, "of the kind classifier; expected a decoder"),
        ({"n": 128}, "asks for 256 texts; expected at most 96"),
        ({"extra_body": {"beams": 4}}, "unknown parameter beams"),
    ):
        with pytest.raises(openai.BadRequestError, match=words) as caught:
            ask(server, **changes)
        assert caught.value.type == "invalid_request_error"
    with pytest.raises(openai.NotFoundError, match="expected one of chat, text, instructed, spam") as missing:
        ask(server, model="gpt-9")
    assert missing.value.code == "model_not_found" and missing.value.param == "model"


def test_tokens_of_texts_and_back(server: Running) -> None:
    tokenizer = server.model("chat").checkpoint.tokenizer

    def post(path: str, **body: Any) -> httpx.Response:
        return server.http.post(path, json=body)

    ids = tokenizer.encode("tea ünd")
    found = post("/tokenize", prompt="tea ünd").json()
    assert found == {"tokens": ids, "count": len(ids), "max_model_len": 200}
    assert post("/detokenize", tokens=ids, model="text").json() == {"prompt": "tea ünd"}
    facts = server.http.get("/tokenizer_info").json()
    assert post("/tokenize", prompt=facts["eos_token"]).json()["tokens"] == [tokenizer.eot_id]
    assert facts["bos_token"] is None and "add_generation_prompt" in facts["chat_template"]
    assert (
        post("/detokenize", tokens=[1, 262]).json()["error"]["message"].startswith("found the token id 262")
    )
