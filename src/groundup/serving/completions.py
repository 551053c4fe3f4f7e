"""`/v1/completions`: continue texts."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from fastapi import APIRouter, Request, Response
from openai.types import Completion, CompletionChoice
from openai.types.completion_choice import Logprobs

from groundup.generation.detokenizer import Detokenizer
from groundup.generation.sampling import CONTINUATION, Sampling
from groundup.serving.answers import ERRORS, EVENTS, Closing, event_stream, json_answer
from groundup.serving.errors import ApiError
from groundup.serving.models import Model
from groundup.serving.replies import Job, Piece, Token, whole
from groundup.serving.requests import CompletionRequest
from groundup.serving.tokens import encode, token_text

MAX_TOKENS = 16  # OpenAI's default
router = APIRouter()


@router.post("/v1/completions", response_model=Completion, responses=ERRORS | EVENTS)
async def complete(request: Request, body: CompletionRequest, closing: Closing) -> Response:
    """Continue one text or several."""
    model: Model = request.app.state.models.named(body.model)
    closing.enter_context(model.in_use())
    most = MAX_TOKENS if body.max_tokens is None else body.max_tokens
    if most == 0 and not body.echo:
        raise ApiError(400, "max_tokens is 0 without echo; expected at least 1", param="max_tokens")
    prompts = await asyncio.to_thread(encode, model, body.prompt)  # long texts would stop the other streams
    job = Job(model, body, prompts, "cmpl", request.app.state.metrics)
    score = bool(body.echo) and (body.logprobs is not None or most == 0)
    default = Sampling() if model.chats else CONTINUATION
    stop_ids = model.checkpoint.stop_ids
    closing.enter_context(job)
    job.submit(most, default, stop_ids, body.logprobs, score)
    parts = _echoed(job) if body.echo else job.pieces()
    if body.stream:
        return event_stream(_chunks(job, parts, body), model)
    texts = await whole(parts)
    return json_answer(_answer(job, texts, body, usage=job.usage), model)


async def _echoed(job: Job) -> AsyncIterator[list[Piece]]:
    """Put the prompt before the first piece of each text."""
    echoes: dict[int, Piece] = {}
    async for pieces in job.pieces():
        for piece in pieces:
            known = piece.index in echoes
            if not known:
                echoes[piece.index] = _echo(job, piece.index)
            echo = echoes[piece.index]
            for token in piece.tokens:
                token.place += len(echo.text)
            if not known:
                piece.text, piece.tokens = echo.text + piece.text, [*echo.tokens, *piece.tokens]
        yield pieces


def _echo(job: Job, index: int) -> Piece:
    """Return the prompt of a text, with its scores if there are any."""
    tokenizer, reply = job.model.checkpoint.tokenizer, job.replies[index]
    prefix = tokenizer.prefix_ids
    hidden = len(prefix) if tuple(reply.prompt[: len(prefix)]) == prefix else 0
    reader = Detokenizer(tokenizer)
    text = reader.add(reply.prompt[hidden:]) + reader.finish()
    if not reply.scored_prompt:
        return Piece(index, text)
    first, *places = [*[0] * hidden, *reader.offsets]
    tokens = [Token(*one, place=place) for one, place in zip(reply.scored_prompt, places, strict=True)]
    return Piece(index, text, [Token(reply.prompt[0], None, (), first), *tokens])


async def _chunks(
    job: Job, parts: AsyncIterator[list[Piece]], request: CompletionRequest
) -> AsyncIterator[Completion]:
    with_usage = request.stream_options is not None and request.stream_options.include_usage
    async for pieces in parts:
        yield _answer(job, pieces, request, **({"usage": None} if with_usage else {}))
    if with_usage:
        yield _answer(job, [], request, usage=job.usage)


def _answer(job: Job, pieces: Sequence[Piece], request: CompletionRequest, **usage: Any) -> Completion:
    scored = request.logprobs is not None
    return Completion.model_construct(
        id=job.id,
        object="text_completion",
        created=job.created,
        model=job.model.name,
        system_fingerprint=job.model.version,
        choices=[
            CompletionChoice.construct(
                index=piece.index,
                text=piece.text,
                logprobs=_logprobs(job.model, piece.tokens) if scored else None,
                finish_reason=piece.finish,
            )
            for piece in pieces
        ],
        **usage,
    )


def _logprobs(model: Model, tokens: Sequence[Token]) -> Logprobs:
    texts = [token_text(model, token.id)[0] for token in tokens]
    return Logprobs.construct(
        tokens=texts,
        token_logprobs=[token.logprob for token in tokens],
        top_logprobs=[
            None
            if token.logprob is None
            else {token_text(model, i)[0]: p for i, p in (*token.top, (token.id, token.logprob))}
            for token in tokens
        ],
        text_offset=[token.place for token in tokens],
    )
