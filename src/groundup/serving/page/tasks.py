"""`/inspect/spam`, `/inspect/translation`, `/inspect/neighbours`: the models of the tasks, explained."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool

from groundup.checkpoint import Checkpoint
from groundup.errors import BadInput
from groundup.serving.answers import ERRORS
from groundup.serving.models import Model
from groundup.serving.page.requests import MOST_WORDS, NeighboursBody, TextBody
from groundup.serving.page.study import Study
from groundup.tasks.leave_one_out import leave_one_out
from groundup.tasks.translation import attention_of, translate
from groundup.text.labels import SPAM

BEAM_SIZE, LENGTH_PENALTY = 4, 1.5  # those of `groundup translate`
router = APIRouter(prefix="/inspect", responses=ERRORS)


@router.post("/spam")
async def spam(request: Request, body: TextBody) -> dict[str, Any]:
    """Return the probability of spam, and what each word contributes."""
    model: Model = request.app.state.models.named(body.model)
    if SPAM not in model.checkpoint.config.labels:
        raise model.unsuitable("a classifier of spam")
    whole, words = await model.run(leave_one_out, model.checkpoint, body.text, most_words=MOST_WORDS)
    return {"probability": whole, "words": [asdict(word) for word in words]}


@router.post("/translation")
async def translation(request: Request, body: TextBody) -> dict[str, Any]:
    """Translate a text, and return what the decoder attends to while it writes."""
    model: Model = request.app.state.models.named(body.model)
    if model.checkpoint.kind != "encoder_decoder":
        raise model.unsuitable("an encoder-decoder, which translates")
    return await model.run(translated, model.checkpoint, body.text)


@router.post("/neighbours")
async def neighbours(request: Request, body: NeighboursBody) -> dict[str, Any]:
    """Return the words whose vectors are closest to that of a word, by cosine."""
    found = await run_in_threadpool(_neighbours, request.app.state.study, body)
    return {"neighbours": [{"word": word, "cosine": cosine} for word, cosine in found]}


def translated(checkpoint: Checkpoint, text: str) -> dict[str, Any]:
    """Translate a text, and return the cross-attention, or empty lists if the translation is too long to be read."""
    [found] = translate(checkpoint, [text], beam_size=BEAM_SIZE, length_penalty=LENGTH_PENALTY)
    try:
        seen = attention_of(checkpoint, text, found)
    except (
        BadInput
    ):  # a translation may fill the context, and then be cut into more tokens when it is read again
        return {"translation": found, "rows": [], "columns": [], "weights": []}
    return {
        "translation": found,
        "rows": list(seen.rows),
        "columns": list(seen.columns),
        "weights": seen.weights.tolist(),
    }


def _neighbours(study: Study, body: NeighboursBody) -> list[tuple[str, float]]:
    vectors = study.words(body.vectors)
    word = body.word.strip()
    return vectors.neighbours(word if word in vectors else word.lower(), body.count)
