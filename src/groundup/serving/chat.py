"""`/v1/chat/completions`: the next message of a conversation."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from fastapi import APIRouter, Request, Response
from openai.types import CompletionUsage
from openai.types.chat import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionMessage,
    ChatCompletionTokenLogprob,
)
from openai.types.chat.chat_completion import Choice, ChoiceLogprobs
from openai.types.chat.chat_completion_chunk import Choice as ChunkChoice
from openai.types.chat.chat_completion_chunk import ChoiceDelta
from openai.types.chat.chat_completion_chunk import ChoiceLogprobs as ChunkLogprobs
from openai.types.chat.chat_completion_token_logprob import TopLogprob

from groundup.generation.sampling import MAX_REPLY_TOKENS, Sampling
from groundup.serving.answers import ERRORS, EVENTS, Closing, event_stream, json_answer
from groundup.serving.models import Model
from groundup.serving.replies import Job, Piece, Token, whole
from groundup.serving.requests import ChatRequest, Message
from groundup.serving.tokens import check_length, token_text

router = APIRouter()


@router.post("/v1/chat/completions", response_model=ChatCompletion, responses=ERRORS | EVENTS)
async def chat(request: Request, body: ChatRequest, closing: Closing) -> Response:
    """Answer the last message of a conversation."""
    model: Model = request.app.state.models.named(body.model)
    closing.enter_context(model.in_use())
    most = body.max_completion_tokens or body.max_tokens or MAX_REPLY_TOKENS
    logprobs = (body.top_logprobs or 0) if body.logprobs else None
    prompt = await asyncio.to_thread(prompt_ids, model, body.messages)
    job = Job(model, body, [prompt], "chatcmpl", request.app.state.metrics)
    closing.enter_context(job)
    job.submit(most, Sampling(), model.checkpoint.answer_ends, logprobs)
    if body.stream:
        return event_stream(_chunks(job, body), model)
    return json_answer(_answer(job, await whole(_stripped(job)), body), model)


def prompt_ids(model: Model, messages: Sequence[Message]) -> list[int]:
    """Return the token ids of a conversation, up to the beginning of the answer.

    Raises:
        ApiError: the model was not trained to answer.
        BadInput: as `Prompter.dialogue` does.
    """
    if not model.chats:
        raise model.unsuitable("a model that was trained to answer (use /v1/completions to continue a text)")
    check_length(model, [message.text for message in messages])
    said = [{"role": _role(message), "content": message.text} for message in messages]
    return model.checkpoint.prompter().dialogue(said)


def _role(message: Message) -> str:
    return "system" if message.role == "developer" else message.role


async def _stripped(job: Job) -> AsyncIterator[list[Piece]]:
    """Leave out the white space with which an answer begins: it belongs to the style of the prompt."""
    begun: set[int] = set()
    async for pieces in job.pieces():
        for piece in pieces:
            if piece.index not in begun:
                piece.text = piece.text.lstrip()
                begun |= {piece.index} if piece.text else set()
        yield pieces


async def _chunks(job: Job, request: ChatRequest) -> AsyncIterator[ChatCompletionChunk]:
    with_usage = request.stream_options is not None and request.stream_options.include_usage
    begun: set[int] = set()

    def chunk(choices: list[ChunkChoice], usage: CompletionUsage | None = None) -> ChatCompletionChunk:
        facts: dict[str, Any] = {"usage": usage} if with_usage else {}  # a field that is not set is not sent
        return ChatCompletionChunk(
            id=job.id,
            object="chat.completion.chunk",
            created=job.created,
            model=job.model.name,
            system_fingerprint=job.model.version,
            choices=choices,
            **facts,
        )

    async for pieces in _stripped(job):
        choices = []
        for piece in pieces:
            first: dict[str, Any] = {} if piece.index in begun else {"role": "assistant"}
            begun.add(piece.index)
            scores = ChunkLogprobs(content=_scores(job.model, piece.tokens)) if request.logprobs else None
            delta = ChoiceDelta(content=piece.text, **first)
            choices.append(
                ChunkChoice(index=piece.index, delta=delta, logprobs=scores, finish_reason=piece.finish)
            )
        if choices:
            yield chunk(choices)
    if with_usage:
        yield chunk([], job.usage)


def _answer(job: Job, texts: Sequence[Piece], request: ChatRequest) -> ChatCompletion:
    return ChatCompletion(
        id=job.id,
        object="chat.completion",
        created=job.created,
        model=job.model.name,
        system_fingerprint=job.model.version,
        choices=[
            Choice(
                index=text.index,
                message=ChatCompletionMessage(role="assistant", content=text.text, refusal=None),
                logprobs=ChoiceLogprobs(content=_scores(job.model, text.tokens))
                if request.logprobs
                else None,
                finish_reason=text.finish or "stop",
            )
            for text in texts
        ],
        usage=job.usage,
    )


def _scores(model: Model, tokens: Sequence[Token]) -> list[ChatCompletionTokenLogprob]:
    def top(token: int, logprob: float | None) -> TopLogprob:
        text, data = token_text(model, token)
        return TopLogprob(token=text, bytes=list(data), logprob=logprob or 0.0)

    return [
        ChatCompletionTokenLogprob(
            **dict(top(token.id, token.logprob)), top_logprobs=[top(*other) for other in token.top]
        )
        for token in tokens
    ]
