"""`/v1/classify`, `/v1/moderations` and `/v1/embeddings`: what models say about texts."""

import base64
import secrets
import time
from collections.abc import Sequence
from typing import Literal

from fastapi import APIRouter, Request, Response
from openai.types import CreateEmbeddingResponse, Embedding
from openai.types.create_embedding_response import Usage
from pydantic import BaseModel
from torch import Tensor

from groundup.model import Model as Library
from groundup.serving.answers import ERRORS, json_answer
from groundup.serving.models import Model
from groundup.serving.requests import ClassificationRequest, EmbeddingRequest
from groundup.serving.tokens import readable
from groundup.tasks.classification import Classification as Found
from groundup.tasks.classification import encode_texts

router = APIRouter()


class Class(BaseModel):
    """The class of one text."""

    index: int
    label: str
    """The most likely label."""
    probabilities: dict[str, float]
    """The probability of each label."""


class Classification(BaseModel):
    """The classes of all texts of a request."""

    id: str
    object: Literal["list"]
    created: int
    model: str
    data: list[Class]
    usage: Usage


class Moderation(BaseModel):
    """The class of one text in the form of OpenAI's moderations."""

    flagged: bool
    """Whether the most likely label is not the first, which is the harmless one."""
    categories: dict[str, bool]
    category_scores: dict[str, float]


class Moderations(BaseModel):
    """The classes of all texts of a request, in the form of OpenAI's moderations."""

    id: str
    model: str
    results: list[Moderation]


class Vector(Embedding):
    """The vector of one text: numbers, or the bytes of little-endian float32 in base64."""

    embedding: list[float] | str  # type: ignore[assignment]


class Vectors(CreateEmbeddingResponse):
    """The vectors of all texts of a request."""

    data: list[Vector]  # type: ignore[assignment]


@router.post("/v1/classify", response_model=Classification, responses=ERRORS)
async def classify(request: Request, body: ClassificationRequest) -> Response:
    """Classify texts, such as messages as ham or spam; a text beyond the context is cut at its end."""
    model: Model = request.app.state.models.named(body.model)
    texts = readable(model, body.input)
    found = await _classes(model, texts)
    tokens = await model.run(_count, model, texts)
    answer = Classification(
        id=f"classify-{secrets.token_hex(12)}",
        object="list",
        created=int(time.time()),
        model=model.name,
        data=[
            Class(index=i, label=one.label, probabilities=one.probabilities) for i, one in enumerate(found)
        ],
        usage=Usage(prompt_tokens=tokens, total_tokens=tokens),
    )
    return json_answer(answer, model)


@router.post("/v1/moderations", response_model=Moderations, responses=ERRORS)
async def moderate(request: Request, body: ClassificationRequest) -> Response:
    """Classify texts in the form of OpenAI's moderations: a text is flagged if its label is not the first."""
    model: Model = request.app.state.models.named(body.model)
    results = []
    for found in await _classes(model, readable(model, body.input)):
        scores = dict([*found.probabilities.items()][1:])
        categories = {label: label == found.label for label in scores}
        results.append(
            Moderation(flagged=any(categories.values()), categories=categories, category_scores=scores)
        )
    return json_answer(
        Moderations(id=f"modr-{secrets.token_hex(12)}", model=model.name, results=results), model
    )


@router.post("/v1/embeddings", response_model=Vectors, responses=ERRORS)
async def embed(request: Request, body: EmbeddingRequest) -> Response:
    """Turn texts into vectors: the mean of the last hidden states; a text beyond the context is cut at its end."""
    model: Model = request.app.state.models.named(body.model)
    if model.checkpoint.kind == "encoder_decoder":
        raise model.unsuitable("a decoder, an encoder or a classifier")
    texts = readable(model, body.input)
    vectors = await model.run(Library(model.checkpoint).embed, texts)
    rows = [_base64(row) if body.encoding_format == "base64" else row.tolist() for row in vectors]
    tokens = await model.run(_count, model, texts)
    answer = Vectors(
        object="list",
        model=model.name,
        data=[Vector(index=i, object="embedding", embedding=row) for i, row in enumerate(rows)],
        usage=Usage(prompt_tokens=tokens, total_tokens=tokens),
    )
    return json_answer(answer, model)


async def _classes(model: Model, texts: Sequence[str]) -> list[Found]:
    if model.checkpoint.kind != "classifier":
        raise model.unsuitable("a classifier")
    return await model.run(Library(model.checkpoint).classify, texts)


def _count(model: Model, texts: Sequence[str]) -> int:
    checkpoint = model.checkpoint
    ids = encode_texts(checkpoint.tokenizer, texts, checkpoint.config.model.context_length)
    return sum(map(len, ids))


def _base64(vector: Tensor) -> str:
    return base64.b64encode(vector.cpu().numpy().astype("<f4").tobytes()).decode()
