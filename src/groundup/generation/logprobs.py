"""Log-probabilities of tokens: of those that a model reads or chooses, and of the most likely ones."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class TokenLogprob(NamedTuple):
    """How likely a token was.

    Attributes:
        token: its id.
        logprob: natural logarithm of its probability, at temperature 1.
        top: the most likely tokens at its place with theirs, most likely first.
    """

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...]


def token_logprobs(logits: Tensor, tokens: Sequence[int], top: int) -> list[TokenLogprob]:
    """Score one token per row of logits (n, V), and find the `top` most likely ones of each row."""
    logprobs = logits.float().log_softmax(dim=-1)
    chosen = logprobs.gather(-1, torch.tensor(tokens, device=logits.device).view(-1, 1))[:, 0]
    likeliest = logprobs.topk(min(top, logits.shape[-1]), dim=-1)
    rows = zip(tokens, chosen.tolist(), likeliest.indices.tolist(), likeliest.values.tolist(), strict=True)
    return [TokenLogprob(t, own, tuple(zip(ids, theirs, strict=True))) for t, own, ids, theirs in rows]
