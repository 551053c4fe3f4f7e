"""Answers over HTTP: JSON or server-sent events."""

from collections.abc import AsyncIterator
from contextlib import ExitStack
from typing import Annotated, Any

import pydantic
from fastapi import Depends, Response
from fastapi.responses import StreamingResponse

from groundup.serving.errors import ErrorAnswer
from groundup.serving.models import Model

VERSION_HEADER = "X-Model-Version"
_ERROR = {"model": ErrorAnswer, "description": "The request cannot be answered."}
ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": _ERROR,
    "5XX": _ERROR,
}  # of every route, for its documentation
EVENTS: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {}}}
}  # of those that can stream


def json_answer(answer: pydantic.BaseModel, model: Model) -> Response:
    """Return an answer of a model as JSON."""
    return Response(_dump(answer), media_type="application/json", headers={VERSION_HEADER: model.version})


def event_stream(chunks: AsyncIterator[pydantic.BaseModel], model: Model) -> Response:
    """Return an answer of a model as server-sent events, one per chunk."""
    headers = {VERSION_HEADER: model.version, "Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingResponse(_events(chunks), media_type="text/event-stream", headers=headers)


async def _events(chunks: AsyncIterator[pydantic.BaseModel]) -> AsyncIterator[str]:
    async for chunk in chunks:
        yield f"data: {_dump(chunk)}\n\n"
    yield "data: [DONE]\n\n"


def _dump(answer: pydantic.BaseModel) -> str:
    return answer.model_dump_json(exclude_unset=True, warnings=False)


async def _closing() -> AsyncIterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


# Context managers that a route enters here are left when the answer is sent, or the client has hung up.
Closing = Annotated[ExitStack, Depends(_closing)]
