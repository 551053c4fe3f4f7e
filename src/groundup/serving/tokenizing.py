"""`/tokenize`, `/detokenize` and `/tokenizer_info`, as vLLM has them: lm-evaluation-harness needs no tokenizer then."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel

from groundup.serving.answers import ERRORS
from groundup.serving.models import Model
from groundup.serving.requests import STRICT, TokenIds
from groundup.serving.tokens import check_ids, check_length
from groundup.tokenizers.bpe import BPETokenizer

router = APIRouter(responses=ERRORS)


class TokenizeRequest(BaseModel):
    """A text to encode; special tokens in it are encoded as such."""

    model_config = STRICT

    prompt: str
    model: str | None = None
    """None: the first model."""
    add_special_tokens: bool = True
    """Put the token before the text that the model expects there, if it expects one."""


class DetokenizeRequest(BaseModel):
    """Tokens to decode."""

    model_config = STRICT

    tokens: TokenIds
    model: str | None = None
    """None: the first model."""


@router.post("/tokenize")
async def tokenize(request: Request, body: TokenizeRequest) -> dict[str, Any]:
    """Return the token ids of a text."""
    model = _model(request, body.model)
    check_length(model, [body.prompt])
    tokenizer = model.checkpoint.tokenizer
    special = {"allow_special": True} if isinstance(tokenizer, BPETokenizer) else {}
    # long texts would stop the streams
    [ids] = await asyncio.to_thread(tokenizer.encode_batch, [body.prompt], **special)
    ids = [*(tokenizer.prefix_ids if body.add_special_tokens else ()), *ids]
    return {"tokens": ids, "count": len(ids), "max_model_len": model.checkpoint.config.model.context_length}


@router.post("/detokenize")
async def detokenize(request: Request, body: DetokenizeRequest) -> dict[str, str]:
    """Return the text of tokens."""
    model = _model(request, body.model)
    check_ids(model, body.tokens)
    return {"prompt": await asyncio.to_thread(model.checkpoint.tokenizer.decode, body.tokens)}


@router.get("/tokenizer_info")
async def tokenizer_info(request: Request, model: str | None = None) -> dict[str, str | None]:
    """Return the special tokens of a model, by default the first, and its chat template."""
    checkpoint = _model(request, model).checkpoint
    tokenizer, template = checkpoint.tokenizer, checkpoint.config.chat_template
    first = tokenizer.prefix_ids
    return {
        "tokenizer_class": type(tokenizer).__name__,
        "bos_token": tokenizer.decode(first) if first else None,
        "eos_token": tokenizer.decode([tokenizer.eot_id]),
        "chat_template": template.source if template else None,
    }


def _model(request: Request, name: str | None) -> Model:
    models = request.app.state.models
    found: Model = next(iter(models)) if name is None else models.named(name)
    return found
