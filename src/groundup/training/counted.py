"""Training on counted contexts: the first phase of a pretraining, which teaches a decoder short contexts quickly.

A text repeats its pairs of tokens: each distinct pair is read once here, with the counts of all the tokens that follow
it as one soft target, instead of once at each of its places. The blocks are left out, which changes nothing in a model
whose residual projections are still zero. So seconds of this phase teach the embeddings and the head what minutes of
ordinary training do, and the loss stays the likelihood of the text.

Estimating a model of n-grams from their counts is older than neural networks; log-bilinear models of a few tokens are
from Mnih and Hinton 2007, and training embeddings on the counts of a text instead of the text is the idea of GloVe
(Pennington et al. 2014), whose loss is another.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from groundup.errors import BadInput
from groundup.nn.decoder import Decoder

LENGTH = 2  # tokens of a context; longer ones are so rare that their counts would be learned by heart
# A context that occurs N times is drawn with a chance proportional to N ** POWER. The power 1 draws from the text,
# where few contexts take most of the draws; 0 draws the rare as often as the frequent.
POWER = 0.5


@dataclass(frozen=True)
class Contexts:
    """The distinct contexts of a text and what follows them, M contexts with K pairs of context and next token.

    Attributes:
        tokens: (M, LENGTH) the contexts, in ascending order.
        starts: (M + 1,) where the next tokens of each context begin, and K.
        following: (K,) next tokens, in ascending order for each context.
        counts: (K,) how often each of them follows.
    """

    tokens: NDArray[np.int64]
    starts: NDArray[np.int64]
    following: NDArray[np.int64]
    counts: NDArray[np.int64]


@dataclass(frozen=True)
class CountedBatch:
    """Some contexts with the tokens that follow them, the pairs of each context one after another.

    Attributes:
        idx: (B, LENGTH) the contexts.
        starts: (B,) where the next tokens of each context begin.
        following: (K,) next tokens.
        shares: (K,) share of each next token in its context, times the weight of the context.
        weights: (B,) weight of each context in the loss.
    """

    idx: Tensor
    starts: Tensor
    following: Tensor
    shares: Tensor
    weights: Tensor

    def to(self, device: torch.device) -> "CountedBatch":
        """Return the same batch on another device."""
        return CountedBatch(*(tensor.to(device) for tensor in vars(self).values()))

    @property
    def rows(self) -> int:
        """Number of contexts."""
        return len(self.idx)

    def part(self, start: int, stop: int) -> "CountedBatch":
        """Return the contexts from `start` to before `stop`."""
        bounds = [*self.starts.tolist(), len(self.following)]
        pairs = slice(bounds[start], bounds[stop])
        return CountedBatch(
            self.idx[start:stop],
            self.starts[start:stop] - bounds[start],
            self.following[pairs],
            self.shares[pairs],
            self.weights[start:stop],
        )

    @property
    def tokens(self) -> int:
        """Number of contexts, each of which is one position of the model."""
        return len(self.idx)


def count_contexts(ids: NDArray[np.unsignedinteger], vocab_size: int) -> Contexts:
    """Count the tokens that follow each context of a text.

    Args:
        ids: (N,) the text.
        vocab_size: number of tokens.

    Raises:
        BadInput: the text is shorter than a context and its next token.
    """
    if len(ids) <= LENGTH:
        raise BadInput(
            f"the training text has {len(ids)} tokens; counting contexts needs {LENGTH + 1}: add text or set "
            f"pretrain.counted to null."
        )
    codes = np.zeros(len(ids) - LENGTH, dtype=np.int64)
    for place in range(LENGTH + 1):
        codes = codes * vocab_size + ids[place : len(codes) + place]
    codes, counts = np.unique(codes, return_counts=True)
    contexts, starts = np.unique(codes // vocab_size, return_index=True)
    tokens = np.stack(
        [contexts // vocab_size**place % vocab_size for place in reversed(range(LENGTH))], axis=1
    )
    return Contexts(tokens, np.append(starts, len(codes)), codes % vocab_size, counts)


def counted_batches(contexts: Contexts, batch_size: int, seed: int) -> Callable[[int], list[CountedBatch]]:
    """Make batches of contexts, drawn independently; the expected loss is that of the whole text.

    Args:
        contexts: of the text.
        batch_size: contexts per step.
        seed: seeds the draws.

    Returns:
        A function from the step (from 0) to its only micro-batch.
    """
    totals = np.add.reduceat(contexts.counts, contexts.starts[:-1])
    chances = np.cumsum(totals**POWER)

    def batches(step: int) -> list[CountedBatch]:
        draws = np.random.default_rng([seed, step]).random(batch_size) * chances[-1]
        chosen = np.searchsorted(chances, draws, side="right")
        sizes = contexts.starts[chosen + 1] - contexts.starts[chosen]
        starts = np.cumsum(sizes) - sizes
        pairs = np.repeat(contexts.starts[chosen] - starts, sizes) + np.arange(sizes.sum())
        weights = totals[chosen] ** (1 - POWER)
        shares = contexts.counts[pairs] * np.repeat(weights / totals[chosen], sizes)
        found = (contexts.tokens[chosen], starts, contexts.following[pairs])
        return [
            CountedBatch(
                *map(torch.from_numpy, found), *(torch.from_numpy(a).float() for a in (shares, weights))
            )
        ]

    return batches


def counted_lm(model: Decoder, batch: CountedBatch) -> tuple[Tensor, Tensor]:
    """Compute the cross-entropy of a decoder without blocks with the counts of a batch of contexts.

    Embeddings of positions are left out, since a context occurs everywhere.

    Returns:
        (sum over the contexts of weight x cross-entropy, sum of the weights).
    """
    x = model.wte(batch.idx[:, -1])
    if model.shift is not None:
        x = torch.addcmul(x, model.shift, model.wte(batch.idx[:, -2]))
    if model.ngrams is not None:
        x = x + model.ngrams(batch.idx)
    x = model.ln_f(x)
    # sum of share x logit over the tokens that follow, without the logits: the head's rows are summed first
    wanted = F.embedding_bag(
        batch.following, model.lm_head.weight, batch.starts, mode="sum", per_sample_weights=batch.shares
    )
    loss = (batch.weights * model.logits(x).float().logsumexp(dim=-1)).sum() - (x * wanted).sum()
    return loss, batch.weights.sum()
