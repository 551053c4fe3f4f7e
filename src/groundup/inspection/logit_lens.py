"""The logit lens: what a model would say after each of its layers (nostalgebraist 2020).

https://www.lesswrong.com/posts/AcKRB8wDpdaN6v6ru/interpreting-gpt-the-logit-lens
"""

from dataclasses import dataclass

import torch

from groundup.checkpoint import TITLES, Checkpoint
from groundup.errors import BadInput
from groundup.generation.logprobs import TokenLogprob, token_logprobs
from groundup.inspection.reading import trace_reading
from groundup.nn.transformer import check_finite


@dataclass(frozen=True)
class LogitLens:
    """What each layer would say at each of T positions.

    Attributes:
        tokens: the T tokens that the model reads.
        layers: first the embeddings, then every block; the last is the model's own answer. For each position the
            score of the token that follows in the text (of an encoder: the token that is there), and the likeliest
            tokens. After the last position of a decoder, the end of the text counts as what follows.
    """

    tokens: list[str]
    layers: list[list[TokenLogprob]]


def logit_lens(checkpoint: Checkpoint, text: str, *, top: int, longest: int | None = None) -> LogitLens:
    """Apply the model's last norm and its output head to the hidden states after each layer.

    Args:
        checkpoint: a decoder or an encoder.
        text: the text that it reads.
        top: how many of the most likely tokens to report.
        longest: largest number of tokens.

    Raises:
        BadInput: the model is of another kind; see also `trace_reading`.
    """
    if checkpoint.kind not in ("decoder", "encoder"):
        raise BadInput(
            f"the model is {TITLES[checkpoint.kind]}; expected {TITLES['decoder']} or {TITLES['encoder']}: choose "
            "another model."
        )
    seen = trace_reading(checkpoint, text, longest=longest, attention=False)
    model, ids = checkpoint.model, seen.idx[0].tolist()
    expected = [*ids[1:], checkpoint.tokenizer.eot_id] if checkpoint.kind == "decoder" else ids
    layers = []
    with torch.inference_mode():
        for hidden in seen.trace.hidden:
            logits = model.logits(model.ln_f(hidden[0]))
            check_finite(logits)
            layers.append(token_logprobs(logits, expected, top))
    return LogitLens(seen.tokens, layers)
