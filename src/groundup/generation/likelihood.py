"""How likely a decoder finds given tokens: each by the tokens before it, in texts of any length."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from groundup.errors import BadInput
from groundup.generation.logprobs import TokenLogprob, token_logprobs
from groundup.nn.decoder import Decoder
from groundup.nn.transformer import check_finite

READ_AT_ONCE = 2**13  # tokens, with padding
SCORED_AT_ONCE = 2**8  # tokens, whose logits may take more memory than the model


class Window(NamedTuple):
    """A part of sequence `row`: the tokens from `start` to `end` - 1 are read, those from `first` to `end` scored."""

    row: int
    start: int
    first: int
    end: int

    @property
    def length(self) -> int:
        """Number of tokens that are read; each of them predicts the next one."""
        return self.end - self.start - 1


def windows(row: int, length: int, given: int, context_length: int) -> Iterator[Window]:
    """Cut a sequence into windows that fit a context, such that each token after the first `given` is scored once.

    A window begins with the last token of the window before it. The last one begins earlier, as far as the context
    reaches. These are the windows of lm-evaluation-harness (Gao et al. 2024).
    """
    for first in range(given, length, context_length):
        end = min(first + context_length, length)
        yield Window(row, max(0, end - 1 - context_length), first, end)


@torch.inference_mode()
def score(
    model: Decoder,
    sequences: Sequence[Sequence[int]],
    given: Sequence[int] | None = None,
    *,
    top: int = 1,
    description: str | None = None,
) -> list[list[TokenLogprob]]:
    """Score the tokens of sequences, each by the tokens before it.

    Args:
        model: the decoder.
        sequences: token ids; those that are longer than the context are read in `windows`.
        given: for each sequence, how many of its first tokens are read but not scored, at least 1; None: one.
        top: how many of the most likely tokens to report at each place.
        description: title of the progress bar; None: show no bar.

    Returns:
        For each sequence, one entry per scored token.

    Raises:
        BadInput: a sequence has no tokens, or fewer than are given, or the model's logits are not finite.
    """
    firsts = [1] * len(sequences) if given is None else list(given)
    for ids, first in zip(sequences, firsts, strict=True):
        if not 1 <= first <= len(ids):
            raise BadInput(
                f"a text has {len(ids)} tokens, of which {first} are given; expected at least one given, and no more "
                f"than there are: give some text."
            )
    parts = [
        window
        for row, (ids, first) in enumerate(zip(sequences, firsts, strict=True))
        for window in windows(row, len(ids), first, model.config.context_length)
    ]
    found: dict[Window, list[TokenLogprob]] = {}
    with tqdm(total=len(parts), desc=description, unit="text", disable=None if description else True) as bar:
        for batch in _batches(sorted(parts, key=lambda window: window.length)):
            hidden = _states(model, sequences, batch)
            tokens = [token for w in batch for token in sequences[w.row][w.first : w.end]]
            entries: list[TokenLogprob] = []
            for start in range(0, len(tokens), SCORED_AT_ONCE):
                logits = model.logits(hidden[start : start + SCORED_AT_ONCE])
                check_finite(logits)
                entries += token_logprobs(logits, tokens[start : start + SCORED_AT_ONCE], top)
            for window in batch:
                count = window.end - window.first
                found[window], entries = entries[:count], entries[count:]
            bar.update(len(batch))
    scores: list[list[TokenLogprob]] = [[] for _ in sequences]
    for window in parts:
        scores[window.row] += found[window]
    return scores


def _states(model: Decoder, sequences: Sequence[Sequence[int]], batch: Sequence[Window]) -> Tensor:
    """Read windows, and return the hidden states (n, C) that predict their scored tokens, one window after another."""
    # a decoder does not see later positions, so padding at the end changes nothing
    idx = torch.zeros(len(batch), batch[-1].length, dtype=torch.long)
    for place, window in enumerate(batch):
        idx[place, : window.length] = torch.tensor(sequences[window.row][window.start : window.end - 1])
    x = model(idx.to(model.wte.weight.device))
    return torch.cat([x[place, w.first - 1 - w.start : w.length] for place, w in enumerate(batch)])


def _batches(parts: Sequence[Window]) -> Iterator[Sequence[Window]]:
    """Split windows, sorted by length, into batches of at most READ_AT_ONCE tokens, or one window."""
    start = 0
    for end in range(1, len(parts) + 1):
        if end == len(parts) or (end + 1 - start) * parts[end].length > READ_AT_ONCE:
            yield parts[start:end]
            start = end
