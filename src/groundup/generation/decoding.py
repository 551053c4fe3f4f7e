"""Decoding: a decoder continues a batch of prompts, token by token, with a key/value cache."""

from collections.abc import Collection, Generator, Iterator, Sequence

import torch
from torch import Tensor

from groundup.errors import BadInput
from groundup.generation.sampling import Sampling
from groundup.nn.attention import KVCache
from groundup.nn.decoder import Decoder
from groundup.nn.transformer import check_finite
from groundup.tokenizers.loading import Tokenizer


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
        ordered, order = probs.sort(dim=-1, descending=True)
        outside = ordered.cumsum(dim=-1) - ordered >= sampling.top_p  # the tokens before already reach p
        outside[..., 0] = False  # the most likely token stays, even if float32 rounds p to 0
        probs = probs.masked_fill(outside.scatter(-1, order, outside), 0.0)
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
        tokens = logits.argmax(dim=-1)  # argmax finds nan first
        check_finite(logits.gather(-1, tokens[:, None]))
        return tokens
    return draw(probabilities(logits.float(), sampling), generators)


def check_room(tokens: int, context_length: int, what: str = "the prompt") -> None:
    """Raise BadInput if a prompt of `tokens` tokens leaves no space in the context for an answer.

    `what` names the prompt in the message.
    """
    if tokens >= context_length:
        raise BadInput(
            f"{what} has {tokens} tokens; the model reads at most {context_length} and needs space for an answer: "
            f"shorten it or train with a larger model.context_length."
        )


@torch.inference_mode()
def stream(
    model: Decoder,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    sampling: Sampling,
    stop_ids: Collection[int],
    cache: KVCache | None = None,
) -> Iterator[dict[int, int]]:
    """Generate text for a batch of prompts, and yield the new tokens of each step: {row: token}.

    A row is finished when it draws a stop id or fills the context. Finished rows leave the batch, so the
    others get faster.

    Args:
        model: the decoder.
        prompts: token ids of each prompt.
        max_new_tokens: largest number of new tokens per prompt.
        sampling: how tokens are chosen.
        stop_ids: tokens that end an answer; they are not yielded.
        cache: contains the first tokens of the prompts, so that only the rest is computed. It is extended in
            place.

    Raises:
        BadInput: a prompt is empty or leaves no space in the context, or the model's logits are not finite.
    """
    if not prompts:
        return
    if not all(prompts):
        raise BadInput("a prompt has no tokens; expected at least one: give some text.")
    context, longest = model.config.context_length, max(map(len, prompts))
    check_room(longest, context)
    device = model.wte.weight.device
    rows = list(range(len(prompts)))
    generators = [torch.Generator().manual_seed(sampling.seed + row) for row in rows]
    if cache is None:
        cache = model.empty_cache(len(prompts), min(context, longest + max_new_tokens))
    unread = [prompt[n:] for prompt, n in zip(prompts, cache.lengths.tolist(), strict=True)]
    lengths = torch.tensor([len(p) for p in unread], device=device)
    idx = torch.zeros(len(prompts), max(map(len, unread)), dtype=torch.long, device=device)
    for row, prompt in enumerate(unread):
        idx[row, : len(prompt)] = torch.tensor(prompt, device=device)
    # (B, C) at each row's last token
    x = model(idx, cache)[torch.arange(len(prompts), device=device), lengths - 1]
    cache.lengths += lengths
    stops = set(stop_ids)
    for step in range(max_new_tokens):
        tokens = choose(model.logits(x), sampling, [generators[row] for row in rows])
        drawn = tokens.tolist()
        yield {row: token for row, token in zip(rows, drawn, strict=True) if token not in stops}
        full = (cache.lengths >= cache.capacity).tolist()
        going = [i for i, token in enumerate(drawn) if token not in stops and not full[i]]
        if not going or step == max_new_tokens - 1:
            return
        if len(going) < len(rows):
            keep = torch.tensor(going, device=device)
            cache, tokens, rows = cache.keep(keep), tokens[keep], [rows[i] for i in going]
        x = model(tokens[:, None], cache)[:, -1]
        cache.lengths += 1


def stream_text(
    model: Decoder,
    tokenizer: Tokenizer,
    prompt: Sequence[int],
    *,
    max_new_tokens: int,
    sampling: Sampling,
    stop_ids: Collection[int],
    cache: KVCache | None = None,
) -> Generator[str, None, None]:
    """Generate the answer to one prompt, and yield its text piece by piece.

    The bytes of an incomplete character are not yielded before a later token completes it. The arguments and
    errors are those of `stream`.
    """
    steps = stream(
        model, [prompt], max_new_tokens=max_new_tokens, sampling=sampling, stop_ids=stop_ids, cache=cache
    )
    new: list[int] = []
    shown = ""
    for step in steps:
        new += step.values()
        text = tokenizer.decode(new).rstrip("\N{REPLACEMENT CHARACTER}")
        yield text[len(shown) :]
        shown = text


def generate(
    model: Decoder,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    sampling: Sampling,
    stop_ids: Collection[int],
) -> list[list[int]]:
    """Generate text for a batch of prompts, and return the new tokens of each, without the stop token.

    The arguments and errors are those of `stream`.
    """
    new: list[list[int]] = [[] for _ in prompts]
    for step in stream(model, prompts, max_new_tokens=max_new_tokens, sampling=sampling, stop_ids=stop_ids):
        for row, token in step.items():
            new[row].append(token)
    return new
