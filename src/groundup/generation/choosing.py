"""Choosing the next token of each row from a model's logits."""

from collections.abc import Sequence

import torch
from torch import Tensor

from groundup.errors import BadInput
from groundup.generation.sampling import Sampling
from groundup.nn.transformer import check_finite

# Number of tokens that nucleus sampling sorts first; more are rarely needed to reach top_p.
LIKELY = 512


def probabilities(logits: Tensor, sampling: Sampling) -> Tensor:
    """Compute the distribution to sample the next token from: logits (B, V) -> probabilities (B, V).

    Raises:
        BadInput: the highest logit of a row is infinite, or a logit is not a number.
    """
    highest = logits.amax(dim=-1, keepdim=True)
    check_finite(highest)
    if sampling.greedy:
        return torch.zeros_like(logits).scatter_(-1, logits.argmax(dim=-1, keepdim=True), 1.0)
    logits = (logits - highest) / sampling.temperature  # the largest becomes 0, so nothing overflows
    if 0 < sampling.top_k < logits.shape[-1]:
        likeliest = logits.topk(sampling.top_k, dim=-1).indices
        logits = torch.full_like(logits, -torch.inf).scatter(-1, likeliest, logits.gather(-1, likeliest))
    probs = logits.softmax(dim=-1)
    if sampling.top_p < 1:
        # sorting all takes ten times as long
        ordered, order = probs.topk(min(LIKELY, probs.shape[-1]), dim=-1)
        before = ordered.cumsum(dim=-1) - ordered
        if bool((before[..., -1] < sampling.top_p).any()):  # the set may be larger
            ordered, order = probs.sort(dim=-1, descending=True)
            before = ordered.cumsum(dim=-1) - ordered
        outside = before >= sampling.top_p  # the tokens before already reach p
        outside[..., 0] = False  # the most likely token stays, even if float32 rounds p to 0
        probs = torch.zeros_like(probs).scatter_(-1, order, ordered.masked_fill(outside, 0.0))
        probs = probs / probs.sum(dim=-1, keepdim=True)
    return probs


def draw(probs: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """Draw one token per row of probs (B, V) -> (B,), by inverting the cumulative distribution.

    Each row draws from its own generator, so `generators` has B of them.
    """
    device = probs.device
    if device.type == "mps":  # MPS has no float64
        probs = probs.cpu()
    uniform = torch.stack([torch.rand((), generator=g, dtype=torch.float64) for g in generators])
    cumulative = probs.double().cumsum(dim=-1)
    wanted = uniform.to(probs.device) * cumulative[:, -1]
    drawn = torch.searchsorted(cumulative, wanted[:, None], right=True)[:, 0]
    return drawn.clamp(max=probs.shape[-1] - 1).to(device)


def choose(logits: Tensor, sampling: Sampling, generators: Sequence[torch.Generator]) -> Tensor:
    """Choose one token per row of logits (B, V) -> (B,), at random or greedily.

    Raises:
        BadInput: as `probabilities` does.
    """
    if sampling.greedy:
        highest, tokens = logits.max(
            dim=-1
        )  # nan counts as the highest; on a CPU three times as fast as argmax
        check_finite(highest)
        return tokens
    return draw(probabilities(logits.float(), sampling), generators)


def choose_each(
    logits: Tensor, sampling: Sampling, generators: Sequence[torch.Generator]
) -> list[int | None]:
    """Choose one token per row of logits (n, V); None for a row whose logits are not finite."""
    try:
        return choose(logits, sampling, generators).tolist()
    except BadInput:
        if len(logits) == 1:
            return [None]
        rows = zip(logits.split(1), generators, strict=True)
        return [choose_each(row, sampling, [generator])[0] for row, generator in rows]


def check_room(tokens: int, context_length: int, what: str = "the prompt") -> None:
    """Raise BadInput if a prompt of `tokens` tokens leaves no space in the context for an answer.

    `what` names the prompt in the message.
    """
    if tokens >= context_length:
        raise BadInput(
            f"{what} has {tokens} tokens; the model reads at most {context_length} and needs space for an answer: "
            f"shorten it or train with a larger model.context_length."
        )
