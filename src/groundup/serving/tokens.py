"""Between the texts of requests and the tokens of a model."""

from collections.abc import Sequence

from groundup.serving.errors import ApiError
from groundup.serving.models import Model

LONGEST_TOKEN = 128  # characters; longer ones exist only for runs of blanks


def check_length(model: Model, texts: Sequence[str]) -> None:
    """Refuse texts that are far too long, before time is spent on encoding them.

    Raises:
        ApiError: even the longest tokens would not make one fit the context.
    """
    context = model.checkpoint.config.model.context_length
    for text in texts:
        if len(text) > context * LONGEST_TOKEN:
            raise ApiError(
                400,
                f"a text has {len(text)} characters; the model reads at most {context} tokens: shorten it",
                code="context_length_exceeded",
            )


def readable(model: Model, texts: Sequence[str]) -> list[str]:
    """Return the beginnings of texts from which the model reads its context, so that the rest is not encoded."""
    return [text[: model.checkpoint.config.model.context_length * LONGEST_TOKEN] for text in texts]


def check_ids(model: Model, ids: Sequence[int]) -> None:
    """Refuse token ids that the model does not have.

    Raises:
        ApiError: an id is too large.
    """
    size = model.checkpoint.tokenizer.vocab_size
    if max(ids) >= size:
        raise ApiError(400, f"found the token id {max(ids)}; expected ids from 0 to {size - 1}")


def encode(model: Model, given: str | list[str] | list[int] | list[list[int]]) -> list[list[int]]:
    """Return the token ids of texts, which may be given as such.

    A text begins with the model's own first token. An empty one is the token that ends texts, after which another
    begins.

    Raises:
        ApiError: a text is far longer than the context.
        BadInput: a text is not valid Unicode.
    """
    texts: list[str] = []
    ids: list[list[int]] = []
    for item in [given] if isinstance(given, str) or isinstance(given[0], int) else given:
        if isinstance(item, str):
            texts.append(item)
        else:
            ids.append(item)
    check_length(model, texts)
    tokenizer = model.checkpoint.tokenizer
    return ids or [
        [*tokenizer.prefix_ids, *found] or [tokenizer.eot_id] for found in tokenizer.encode_batch(texts)
    ]


def token_text(model: Model, token: int) -> tuple[str, bytes]:
    r"""Return the text of one token and its bytes; parts of a character are written as in "bytes:\xe2\x80"."""
    tokenizer = model.checkpoint.tokenizer
    decode_bytes = getattr(tokenizer, "decode_bytes", None)
    data: bytes = tokenizer.decode([token]).encode() if decode_bytes is None else decode_bytes([token])
    try:
        return data.decode(), data
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data), data
