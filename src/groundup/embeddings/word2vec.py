"""Word2vec: skip-gram and CBOW with negative sampling, as matrix products (Mikolov et al. 2013, arXiv:1310.4546).

A word predicts the words around it (skip-gram), or the mean of the words around it predicts the word (CBOW).
The model learns to distinguish the right word from k words drawn from the unigram distribution to the power
3/4.

    text, frequent words subsampled   the cat sat on the mat by the door ...
    a block of n = 4 centre words             sat on the mat
    its contexts, w = 2 on each side  the cat sat on the mat by the
    scores of the block               4 centres x (8 contexts + m negatives), one product; only a band of it counts

The original program draws k negatives for each pair. Here m negatives are drawn for a block, and each has the
weight k/m in each pair of the block. Loss and gradient have the same expectation, but need matrix products
instead of single dot products. There are two more differences from the original program and from gensim: a
step updates many words at once (the optimizer compensates for that), and a negative that happens to be the
right word is not drawn again. In CBOW the gradient for every context word is divided by their number, as it
should be; gensim omits the division (Işık et al. 2021, arXiv:2012.15332).

Legend: B blocks, n centres per block, w largest window, m negatives per block, k negatives per pair, d
dimension.

Tried and rejected: a hand-written gradient in an autograd.Function (8% faster, not worth its lines); plain
SGD at the original rate of 0.025 per pair (diverges, since a frequent word occurs hundreds of times in a
step); AdaGrad (needs more epochs than AdamW); 16 negatives per block instead of 32 (worse on SimLex-999).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from groundup.embeddings.config import Word2VecConfig
from groundup.embeddings.vocabulary import Corpus
from groundup.errors import BadInput

Array = npt.NDArray[np.float64]
NOISE_POWER = 0.75


@dataclass(frozen=True)
class TextBlocks:
    """Blocks of text for word2vec: one micro-batch.

    Attributes:
        ids: (B, w + n + w), the words of each block and of the context on both its sides.
        left: (B, n), the number of context words to the left of each centre (0 at the edge of a document).
        right: (B, n), the same to the right.
        negatives: (B, m), word ids.
        tokens: number of words read.
    """

    ids: Tensor
    left: Tensor
    right: Tensor
    negatives: Tensor
    tokens: int

    def to(self, device: torch.device) -> "TextBlocks":
        """Return the same micro-batch on another device."""
        ids, left, right, negatives = (
            part.to(device) for part in (self.ids, self.left, self.right, self.negatives)
        )
        return TextBlocks(ids, left, right, negatives, self.tokens)

    @property
    def width(self) -> int:
        """w, the number of words on each side of the block."""
        return (self.ids.shape[1] - self.left.shape[1]) // 2

    @property
    def centres(self) -> Tensor:
        """The ids of the centres: (B, n)."""
        return self.ids[:, self.width : self.width + self.left.shape[1]]

    def band(self) -> Tensor:
        """Return whether each word of a block is in the context of each centre: (B, n, w + n + w) bool."""
        centre = torch.arange(self.left.shape[1], device=self.ids.device)[:, None] + self.width
        offset = (torch.arange(self.ids.shape[1], device=self.ids.device) - centre).to(self.left.dtype)
        return (offset >= -self.left[:, :, None]) & (offset <= self.right[:, :, None]) & (offset != 0)


class Word2Vec(nn.Module):
    """The word2vec model: two tables of vectors (V, d).

    `words` holds the resulting vectors, `contexts` the vectors that they are multiplied with.
    """

    def __init__(self, vocab_size: int, dimension: int) -> None:
        super().__init__()
        self.words = nn.Embedding(vocab_size, dimension)
        self.contexts = nn.Embedding(vocab_size, dimension)
        nn.init.uniform_(self.words.weight, -0.5 / dimension, 0.5 / dimension)
        nn.init.zeros_(self.contexts.weight)


def skip_gram(model: Word2Vec, batch: TextBlocks, negative: int) -> tuple[Tensor, Tensor]:
    """Return the skip-gram loss of a micro-batch and the number of its pairs.

    The loss is the sum over pairs of -log σ(u·v) - k E[log σ(-u·v')], where u is the vector of the centre, v
    of its context word and v' of a negative.

    Args:
        model: the two tables.
        batch: the blocks.
        negative: negatives per pair, k.
    """
    pairs = batch.left + batch.right  # (B, n)
    u = model.words(batch.centres)
    towards = torch.bmm(u, model.contexts(batch.ids).mT)  # (B, n, w + n + w)
    away = torch.bmm(u, model.contexts(batch.negatives).mT)  # (B, n, m)
    share = negative / batch.negatives.shape[1]
    found = (F.logsigmoid(towards) * batch.band()).sum()
    refused = (F.logsigmoid(-away).sum(dim=-1) * pairs).sum() * share
    return -found - refused, pairs.sum()


def cbow(model: Word2Vec, batch: TextBlocks, negative: int) -> tuple[Tensor, Tensor]:
    """Return the CBOW loss of a micro-batch and the number of its centres.

    Centres without context do not count. The loss is the sum over centres of -log σ(h·v) - k E[log σ(-h·v')],
    where h is the mean of the context, v the vector of the centre and v' of a negative.

    Args:
        model: the two tables.
        batch: the blocks.
        negative: negatives per centre, k.
    """
    around = batch.left + batch.right
    h = torch.bmm(batch.band().to(model.words.weight.dtype), model.words(batch.ids))
    h = h / around.clamp(min=1)[:, :, None]
    counts = around > 0
    towards = (h * model.contexts(batch.centres)).sum(dim=-1)  # (B, n)
    away = torch.bmm(h, model.contexts(batch.negatives).mT)
    share = negative / batch.negatives.shape[1]
    refused = F.logsigmoid(-away).sum(dim=-1) * share
    return -((F.logsigmoid(towards) + refused) * counts).sum(), counts.sum()


def keep_probabilities(counts: npt.NDArray[np.int64], sample: float) -> Array:
    """Return the probability that subsampling keeps an occurrence of each word: (V,); `sample` 0 keeps all.

    For a word that makes up the share f of the text it is min(1, (√(f/sample) + 1) · sample/f). This is the
    formula of the original program and of gensim, which differs from the paper's.
    """
    if sample == 0:
        return np.ones(len(counts))
    threshold = sample * counts.sum()
    return np.minimum(1.0, (np.sqrt(counts / threshold) + 1) * threshold / counts)


def windows(
    documents: npt.NDArray[np.int64], widest: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Draw the contexts of words for word2vec: how many words each has on its left and on its right.

    Each word draws a number from 1 to `widest`; on both sides the context ends at the edge of the document.

    Args:
        documents: (N,), the number of each word's document.
        widest: the largest window, w.
        rng: the source of randomness.

    Returns:
        Two arrays (N,).
    """
    place = np.arange(len(documents))
    first = np.searchsorted(documents, documents, side="left")
    last = np.searchsorted(documents, documents, side="right") - 1
    reach = rng.integers(1, widest + 1, len(documents))
    return np.minimum(reach, place - first), np.minimum(reach, last - place)


def text_batches(
    corpus: Corpus, counts: npt.NDArray[np.int64], config: Word2VecConfig, seed: int
) -> tuple[Callable[[int], Sequence[TextBlocks]], int]:
    """Return the micro-batches of word2vec and the number of steps per epoch.

    Every epoch subsamples the text and shuffles its blocks again. Both draws depend only on seed and epoch,
    and the negatives only on seed and step, so a resumed run continues with the same batches.

    Returns:
        A function step -> its micro-batch, and the steps per epoch.

    Raises:
        BadInput: no document has two words of the vocabulary.
    """
    if not (corpus.documents[1:] == corpus.documents[:-1]).any():
        raise BadInput(
            "no document has two words of the vocabulary; a context needs at least two: add longer documents or lower "
            "min_count."
        )
    keep = keep_probabilities(counts, config.sample)
    noise = np.cumsum(counts**NOISE_POWER)
    steps = max(1, round(float(keep[corpus.ids].sum()) / config.step_words))

    @lru_cache(maxsize=1)
    def epoch(number: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        rng = np.random.default_rng((seed, number))
        kept = rng.random(len(corpus.ids)) < keep[corpus.ids]
        ids, documents = corpus.ids[kept], corpus.documents[kept]
        left, right = windows(documents, config.window, rng)
        blocks = max(steps, math.ceil(len(ids) / config.block_words))
        # the last block is filled up with centres that have no context
        after = blocks * config.block_words - len(ids)
        around = (config.window, config.window + after)
        padded = torch.from_numpy(np.pad(ids, around))
        sides = (torch.from_numpy(np.pad(side, (0, after)).astype(np.int16)) for side in (left, right))
        to_left, to_right = (side.view(blocks, config.block_words) for side in sides)
        size = config.block_words + 2 * config.window
        order = torch.from_numpy(rng.permutation(blocks))
        return padded.unfold(0, size, config.block_words), to_left, to_right, order

    def batches(step: int) -> Sequence[TextBlocks]:
        number, part = divmod(step, steps)
        ids, left, right, order = epoch(number)
        chosen = order[part * len(order) // steps : (part + 1) * len(order) // steps]
        rng = np.random.default_rng((seed, number, part))
        draws = rng.random((len(chosen), config.block_negatives)) * noise[-1]
        negatives = torch.from_numpy(np.searchsorted(noise, draws, side="right"))
        words = corpus.raw_words * (part + 1) // steps - corpus.raw_words * part // steps
        return [TextBlocks(ids[chosen], left[chosen], right[chosen], negatives, words)]

    return batches, steps
