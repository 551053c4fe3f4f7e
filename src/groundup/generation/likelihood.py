"""How likely a decoder finds given tokens."""

from collections.abc import Sequence

import torch

from groundup.errors import BadInput
from groundup.generation.logprobs import TokenLogprob, token_logprobs
from groundup.nn.decoder import Decoder
from groundup.nn.transformer import check_finite


@torch.inference_mode()
def score(
    model: Decoder,
    sequences: Sequence[Sequence[int]],
    given: Sequence[int] | None = None,
    *,
    top: int = 1,
    batch_size: int = 32,
) -> list[list[TokenLogprob]]:
    """Score the tokens of sequences, each by the tokens before it.

    Args:
        model: the decoder.
        sequences: token ids, at most one more than the context.
        given: for each sequence, how many of its first tokens are read but not scored, at least 1; None: one.
        top: how many of the most likely tokens to report at each place.
        batch_size: sequences read at once; those of similar length share a batch.

    Returns:
        For each sequence, one entry per scored token.

    Raises:
        BadInput: a sequence is too short or too long, or the model's logits are not finite.
    """
    device, context = model.wte.weight.device, model.config.context_length
    firsts = [1] * len(sequences) if given is None else list(given)
    for ids, first in zip(sequences, firsts, strict=True):
        if not 1 <= first <= len(ids) <= context + 1:
            raise BadInput(
                f"a text has {len(ids)} tokens, of which {first} are given; expected at least 1 given, and at most "
                f"{context + 1} in all, since the model reads {context}: shorten the text."
            )
    order = sorted(range(len(sequences)), key=lambda i: len(sequences[i]))
    found: dict[int, list[TokenLogprob]] = {}
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        longest = max(len(sequences[i]) for i in chosen) - 1
        idx = torch.zeros(len(chosen), max(longest, 1), dtype=torch.long)
        for row, i in enumerate(chosen):
            # later positions are not seen, so padding at the end changes nothing
            idx[row, : len(sequences[i]) - 1] = torch.tensor(sequences[i][:-1])
        x = model(idx.to(device))
        for row, i in enumerate(chosen):
            scored = sequences[i][firsts[i] :]
            # one row at a time, since the logits of a batch may be larger than the model
            logits = model.logits(x[row, firsts[i] - 1 : len(sequences[i]) - 1])
            check_finite(logits)
            found[i] = token_logprobs(logits, scored, top)
    return [found[i] for i in range(len(sequences))]
