"""Let a model read one's own text, and keep what every layer and head does with it."""

import torch

from groundup.checkpoint import TITLES, Checkpoint
from groundup.errors import BadInput
from groundup.inspection.explanation import END, TracedText
from groundup.nn.attention import Trace
from groundup.nn.classifier import SequenceClassifier
from groundup.nn.transformer import Transformer

START = "(start)"  # label of the token that begins a text


def trace_reading(
    checkpoint: Checkpoint, text: str, *, longest: int | None = None, attention: bool = True
) -> TracedText:
    """Let a decoder, an encoder or a classifier read a text as in its training, and trace it.

    The text follows the token that begins texts or, if the model has none, the one that ends them, after which another
    begins. A classifier reads no token before the text unless it has one for this. Encoders and classifiers also read
    the token that ends the text.

    Args:
        checkpoint: the model.
        text: the text.
        longest: largest number of tokens, if less than the model's context.
        attention: trace the attention weights too, not only the hidden states.

    Raises:
        BadInput: the model is an encoder-decoder, the text is empty, or it has too many tokens.
    """
    if checkpoint.kind == "encoder_decoder":
        raise BadInput(
            f"the model is {TITLES[checkpoint.kind]}; expected one that reads a single text: choose another model."
        )
    if not text.strip():
        raise BadInput("the text is empty; expected at least one word: write some text.")
    tokenizer, found = checkpoint.tokenizer, checkpoint.model
    model: Transformer = found.trunk if isinstance(found, SequenceClassifier) else found
    begin = list(tokenizer.prefix_ids) or ([] if checkpoint.kind == "classifier" else [tokenizer.eot_id])
    end = [] if checkpoint.kind == "decoder" else [tokenizer.eot_id]
    ids = [*begin, *tokenizer.encode(text), *end]
    limit = min(longest or model.config.context_length, model.config.context_length)
    if len(ids) > limit:
        raise BadInput(f"the text has {len(ids)} tokens; expected at most {limit}: shorten it.")
    idx, trace = torch.tensor([ids], device=model.wte.weight.device), Trace(attention=attention)
    with torch.inference_mode():
        model.read(idx, trace=trace)
    return TracedText([*[START] * len(begin), *tokenizer.pieces(text), *[END] * len(end)], idx, trace)


def attention_weights(seen: TracedText) -> torch.Tensor:
    """Return the attention of every layer and head: (layers, heads, T, T), row = query; each row sums to 1."""
    return torch.cat(seen.trace.weights).float()
