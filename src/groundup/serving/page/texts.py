"""`/inspect/overview`, `/inspect/prompt`, `/inspect/continuation`, `/inspect/tokenizers`: texts and their tokens."""

from collections.abc import Iterable
from math import exp
from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool

from groundup.errors import BadInput
from groundup.generation.logprobs import TokenLogprob
from groundup.generation.sampling import Sampling
from groundup.inspection.continuation import continue_text
from groundup.serving.answers import ERRORS
from groundup.serving.chat import prompt_ids
from groundup.serving.errors import ApiError
from groundup.serving.models import Model, Models
from groundup.serving.page.requests import ContinuationBody, PromptBody, TokenizersBody
from groundup.serving.page.study import Study
from groundup.serving.tokens import check_ids, encode, token_text
from groundup.tokenizers.loading import Tokenizer

router = APIRouter(prefix="/inspect", responses=ERRORS)
Answer = dict[str, Any]
FIRST = ("gpt2", "wordpiece_4k")  # the best known of the study's tokenizers are shown first
TITLES = {
    "gpt2": "GPT-2",
    "wordpiece": "WordPiece",
    "bpe": "BPE",
    "byte": "Bytes and an end",
    "character": "Characters",
}


@router.get("/overview")
async def overview(request: Request) -> Answer:
    """Say which models, tokenizers and word vectors there are."""
    state = request.app.state
    return {
        "models": [_facts(model) for model in state.models],
        "tokenizers": list(state.study.tokenizers),
        "vectors": list(state.study.vectors),
        "keeps_votes": state.config.votes is not None,
    }


@router.post("/prompt")
async def prompt(request: Request, body: PromptBody) -> Answer:
    """Return a conversation as the model reads it."""
    model: Model = request.app.state.models.named(body.model)
    ids = await model.run(prompt_ids, model, body.messages)
    return {"tokens": shown(model, ids), "context": model.checkpoint.config.model.context_length}


@router.post("/continuation")
async def continuation(request: Request, body: ContinuationBody) -> Answer:
    """Continue a text, with the probability of each token and what could stand there instead."""
    model: Model = request.app.state.models.named(body.model)
    if model.checkpoint.kind != "decoder":
        raise model.unsuitable("a decoder, which writes text")
    if (body.text is None) == (body.ids is None):
        raise ApiError(400, "expected either text or ids: give one of them", param="text")
    if body.ids is not None:
        check_ids(model, body.ids)
    sampling = Sampling(temperature=body.temperature, top_p=body.top_p, seed=body.seed)
    ids = body.ids or encode(model, body.text or "")[0]
    found = await model.run(
        continue_text,
        model.checkpoint,
        ids,
        max_new_tokens=body.max_new_tokens,
        sampling=sampling,
        top=body.top,
    )
    first = {**shown(model, found.ids[:1])[0], "probability": None, "top": []}
    return {
        "given": found.given,
        "ended": found.ended,
        "tokens": [first, *(scored(model, token) for token in found.scores)],
    }


@router.post("/tokenizers")
async def tokenizers(request: Request, body: TokenizersBody) -> Answer:
    """Cut a text into tokens with every tokenizer that there is."""
    state = request.app.state
    return {"tokenizers": await run_in_threadpool(_cut, body.text, state.models, state.study)}


def shown(model: Model, ids: Iterable[int]) -> list[Answer]:
    """Return the id and the text of each token."""
    return [{"id": token, "text": token_text(model, token)[0]} for token in ids]


def scored(model: Model, token: TokenLogprob) -> Answer:
    """Return a token with its probability and the likeliest tokens at its place."""
    return {
        "id": token.token,
        "text": token_text(model, token.token)[0],
        "probability": exp(token.logprob),
        "top": [
            {"id": other, "text": token_text(model, other)[0], "probability": exp(logprob)}
            for other, logprob in token.top
        ],
    }


def _facts(model: Model) -> Answer:
    config = model.checkpoint.config
    return {
        "name": model.name,
        "kind": model.checkpoint.kind,
        "chats": model.chats,
        "has_template": config.chat_template is not None,
        "labels": list(config.labels),
        "layers": config.model.n_layer,
        "heads": config.model.n_head,
        "context": config.model.context_length,
        "parameters": model.parameters,
    }


def _cut(text: str, models: Models, study: Study) -> list[Answer]:
    """Cut a text with the tokenizers of the models, those of the study, and into bytes; say which cannot be read."""
    found: dict[str, tuple[str, Tokenizer]] = {}
    for model in models:
        tokenizer = model.checkpoint.tokenizer
        title, _ = found.get(tokenizer.fingerprint, ("", tokenizer))
        found[tokenizer.fingerprint] = (f"{title}, {model.name}".removeprefix(", "), tokenizer)
    damaged: list[Answer] = []
    for name in sorted(study.tokenizers, key=lambda name: name not in FIRST):
        try:
            tokenizer = study.tokenizer(name)
        except BadInput as error:
            damaged.append({"name": _title(name), "vocabulary": 0, "tokens": [], "problem": str(error)})
            continue
        found.setdefault(tokenizer.fingerprint, (_title(name), tokenizer))
    data = text.encode("utf-8", "replace")
    raw = [{"id": byte, "text": chr(byte) if 32 < byte < 127 else f"{byte:02x}"} for byte in data]
    return [
        *(
            {"name": name, "vocabulary": it.vocab_size, "tokens": _pieces(it, text)}
            for name, it in found.values()
        ),
        {"name": "Bytes of UTF-8", "vocabulary": 256, "tokens": raw},
        *damaged,
    ]


def _title(name: str) -> str:
    kind, _, size = name.partition("_")
    return f"{TITLES.get(kind, kind)} {size}".rstrip() + " (study)"


def _pieces(tokenizer: Tokenizer, text: str) -> list[Answer]:
    ids, pieces = tokenizer.encode(text), tokenizer.pieces(text)
    return [{"id": token, "text": piece} for token, piece in zip(ids, pieces, strict=True)]
