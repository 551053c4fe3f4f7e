"""`/inspect/attention` and `/inspect/lens`: what happens inside a model while it reads a text."""

import base64
from typing import Any

from fastapi import APIRouter, Request

from groundup.inspection.logit_lens import logit_lens
from groundup.inspection.reading import attention_weights, trace_reading
from groundup.serving.answers import ERRORS
from groundup.serving.models import Model
from groundup.serving.page.requests import LONGEST_ATTENTION, LONGEST_LENS, LensBody, TextBody
from groundup.serving.page.texts import scored

router = APIRouter(prefix="/inspect", responses=ERRORS)


@router.post("/attention")
async def attention(request: Request, body: TextBody) -> dict[str, Any]:
    """Return the attention of every layer and head, as little-endian float32 in base64, with its shape."""
    model: Model = request.app.state.models.named(body.model)
    if model.checkpoint.kind == "encoder_decoder":
        raise model.unsuitable("one that reads a single text (the tab Translation shows its attention)")
    seen = await model.run(trace_reading, model.checkpoint, body.text, longest=LONGEST_ATTENTION)
    weights = attention_weights(seen).numpy(force=True)
    return {
        "tokens": seen.tokens,
        "shape": list(weights.shape),
        "weights": base64.b64encode(weights.astype("<f4").tobytes()).decode(),
    }


@router.post("/lens")
async def lens(request: Request, body: LensBody) -> dict[str, Any]:
    """Return what each layer would say at each position."""
    model: Model = request.app.state.models.named(body.model)
    if model.checkpoint.kind not in ("decoder", "encoder"):
        raise model.unsuitable("a language model")
    found = await model.run(logit_lens, model.checkpoint, body.text, top=body.top, longest=LONGEST_LENS)
    return {
        "tokens": found.tokens,
        "layers": [[scored(model, token) for token in layer] for layer in found.layers],
    }
