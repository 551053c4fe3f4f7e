"""What the page asks for; the oracle is the library without a server."""

import base64
from math import exp
from typing import Any

import httpx
import numpy as np
import pytest

from groundup.embeddings.vectors import WordVectors
from groundup.generation.sampling import Sampling
from groundup.inspection.continuation import continue_text
from groundup.inspection.logit_lens import logit_lens
from groundup.inspection.reading import attention_weights, trace_reading
from groundup.serving.page.tasks import translated
from groundup.tasks.leave_one_out import leave_one_out
from groundup.tasks.translation import attention_of, translate
from tests.serving.page.conftest import translator as make_translator
from tests.serving.running import Running


def post(server: Running, path: str, **body: Any) -> httpx.Response:
    return server.http.post(f"/inspect/{path}", json=body)


def answer(server: Running, path: str, **body: Any) -> Any:
    found = post(server, path, **body)
    assert found.status_code == 200, found.text
    return found.json()


def test_attention_is_that_of_the_library_bit_for_bit(page: Running) -> None:
    found = answer(page, "attention", model="chat", text="tea and cake")
    seen = trace_reading(page.model("chat").checkpoint, "tea and cake")
    weights = np.frombuffer(base64.b64decode(found["weights"]), "<f4").reshape(found["shape"])
    assert np.array_equal(weights, attention_weights(seen).numpy()) and found["tokens"] == seen.tokens


def test_the_lens_is_that_of_the_library(page: Running) -> None:
    found = answer(page, "lens", model="chat", text="tea and", top=2)
    expected = logit_lens(page.model("chat").checkpoint, "tea and", top=2)
    assert [
        [(t["id"], t["probability"], [(o["id"], o["probability"]) for o in t["top"]]) for t in layer]
        for layer in found["layers"]
    ] == [
        [(t.token, exp(t.logprob), [(i, exp(p)) for i, p in t.top]) for t in layer]
        for layer in expected.layers
    ]


def test_a_text_goes_on_from_the_tokens_that_were_chosen(page: Running) -> None:
    checkpoint = page.model("text").checkpoint
    body: dict[str, Any] = {"model": "text", "max_new_tokens": 6, "temperature": 1.0, "seed": 3, "top": 4}
    found = answer(page, "continuation", text="tea and", **body)
    sampling = Sampling(temperature=1.0, top_p=0.95, seed=3)
    ids = checkpoint.tokenizer.encode("tea and")
    expected = continue_text(checkpoint, ids, max_new_tokens=6, sampling=sampling, top=4)
    assert [token["id"] for token in found["tokens"]] == expected.ids and found["given"] == len(ids)
    probabilities = [token["probability"] for token in found["tokens"]]
    assert probabilities == [None, *(exp(token.logprob) for token in expected.scores)]
    chosen = [*expected.ids[:4], found["tokens"][4]["top"][1]["id"]]
    again = answer(page, "continuation", ids=chosen, **body)
    assert [token["id"] for token in again["tokens"]][:5] == chosen and again["given"] == 5


def test_the_prompt_is_the_one_that_the_model_reads(page: Running) -> None:
    said = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "tea"}]
    found = answer(page, "prompt", model="chat", messages=said)
    expected = page.model("chat").checkpoint.prompter().dialogue(said)
    assert [token["id"] for token in found["tokens"]] == expected
    text = "".join(token["text"] for token in found["tokens"])
    assert text.startswith("<|turn|>system:Be brief.<|endoftext|>")


def test_spam_translation_and_neighbours_are_those_of_the_library(page: Running) -> None:
    spam = answer(page, "spam", model="spam", text="tea and cake")
    whole, words = leave_one_out(page.model("spam").checkpoint, "tea and cake")
    assert spam == {"probability": whole, "words": [vars(word) for word in words]}

    translator = page.model("translation").checkpoint
    found = answer(page, "translation", model="translation", text="he hath seen")
    [text] = translate(translator, ["he hath seen"], beam_size=4, length_penalty=1.5)
    seen = attention_of(translator, "he hath seen", text)
    assert found["translation"] == text and found["weights"] == seen.weights.tolist()

    near = answer(page, "neighbours", vectors="glove_mix", word=" Coffee", count=3)["neighbours"]
    vectors = WordVectors.load(page.app.state.config.study / "embeddings/glove_mix")
    assert [(one["word"], one["cosine"]) for one in near] == vectors.neighbours("coffee", 3)


def test_a_translation_that_fills_the_context_has_no_map() -> None:
    """The bytes that the random model writes are cut into more tokens when they are read again."""
    found = translated(make_translator(context_length=60), "And he said unto them, Go ye into all the world.")
    assert found["translation"] and found["weights"] == []


def test_every_tokenizer_cuts_the_text_once(page: Running) -> None:
    found = answer(page, "tokenizers", text="tea é")["tokenizers"]
    names = [one["name"] for one in found]
    assert names == [
        "chat, text, instructed, spam",
        "translation",
        "Characters (study)",
        "Bytes of UTF-8",
        "damaged (study)",
    ]
    assert "problem" not in found[0] and "damaged.json" in found[-1]["problem"]
    own = page.model("chat").checkpoint.tokenizer
    assert [token["id"] for token in found[0]["tokens"]] == own.encode("tea é")
    assert bytes(token["id"] for token in found[3]["tokens"]).decode() == "tea é"


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("attention", {"model": "chat", "text": "x" * 64}, 400, "65 tokens; expected at most 64"),
        ("attention", {"model": "nobody", "text": "x"}, 404, "no model 'nobody'"),
        ("attention", {"model": "translation", "text": "x"}, 400, "encoder-decoder"),
        ("lens", {"model": "chat", "text": "x" * 48}, 400, "49 tokens; expected at most 48"),
        ("lens", {"model": "spam", "text": "x"}, 400, "classifier"),
        ("spam", {"model": "spam", "text": "x " * 151}, 400, "151 words"),
        ("spam", {"model": "chat", "text": "x"}, 400, "a classifier of spam"),
        ("continuation", {"model": "chat"}, 400, "either text or ids"),
        ("continuation", {"model": "chat", "ids": [10**6]}, 400, "token id 1000000"),
        ("continuation", {"model": "chat", "text": "x" * 300}, 400, "300 tokens"),
        ("continuation", {"model": "spam", "text": "x"}, 400, "decoder"),
        ("prompt", {"model": "text", "messages": [{"role": "user", "content": "x"}]}, 400, "answer"),
        ("translation", {"model": "translation", "text": " . "}, 400, "no words"),
        ("neighbours", {"vectors": "glove_mix", "word": "zebra"}, 400, "not among the 5 words"),
        ("neighbours", {"vectors": "none", "word": "tea"}, 404, "expected one of glove_mix"),
        ("tokenizers", {"text": "x" * 4001}, 400, "at most 4000"),
        ("tokenizers", {"text": "x", "more": 1}, 400, "unknown parameter more"),
    ],
)
def test_what_cannot_be_shown_is_an_error_in_openais_form(
    page: Running, path: str, body: dict[str, Any], status: int, said: str
) -> None:
    found = post(page, path, **body)
    assert found.status_code == status and said in found.json()["error"]["message"], found.text
