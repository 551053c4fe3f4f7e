"""N-gram embeddings: a vocabulary of the n-grams that a text repeats, with a vector for each."""

from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from groundup.nn.config import ModelConfig

UNUSED = 2**63 - 1  # code of a row without an n-gram; the last one in ascending order
COUNTED = 2**26  # tokens of a text that are counted; more hardly change which n-grams are frequent


class NgramEmbedding(nn.Module):
    """The n-gram embedding: vectors for the last n tokens, looked up at almost no arithmetic cost.

    `learn` chooses the n-grams, those most frequent in the training text. All others have the vector 0, so the model
    sees that it has only shorter ones to go by. The vectors of all orders are concatenated and projected to n_embd
    channels: with the same memory, many narrow rows hold more n-grams than few wide ones.

    Embeddings of n-grams are from Bojanowski et al. 2017; modded-nanogpt uses them in language models. Both hash
    n-grams to rows, so that rare ones disturb each other. That costs 0.013 bits per byte here (docs/recipe.md).
    """

    codes: (
        Tensor  # (rows,) the n-gram of each row, in ascending order; the first is none, and its row stays 0
    )

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.orders = config.ngram_orders
        self.base = config.vocab_size + 2  # digits of a code: token + 1, vocab_size + 1 before a text
        self.table = nn.Embedding(config.ngram_rows, config.ngram_embd, padding_idx=0)
        self.c_ngram = nn.Linear(config.ngram_embd * len(self.orders), config.n_embd, bias=False)
        self.register_buffer("codes", torch.full((config.ngram_rows,), UNUSED))
        self.codes[0] = 0

    @property
    def reach(self) -> int:
        """Number of earlier tokens that a vector depends on."""
        return max(self.orders) - 1

    @property
    def known(self) -> int:
        """Number of n-grams that have a vector."""
        return int((self.codes < UNUSED).sum()) - 1

    @torch.no_grad()
    def learn(self, ids: Tensor) -> None:
        """Choose the n-grams that have a vector: the most frequent of a text (N,) that occur at least twice."""
        ids = ids[:COUNTED]
        counted = [
            self.encode(ids.unfold(0, order, 1), (order,)).unique(return_counts=True)
            for order in sorted(set(self.orders))
            if order <= len(ids)
        ]
        codes, counts = (torch.cat([part[i] for part in counted] or [ids[:0]]) for i in (0, 1))
        frequent = counts.sort(descending=True, stable=True).indices[: len(self.codes) - 1]
        chosen = codes[frequent[counts[frequent] > 1]].sort().values
        self.codes[1:] = UNUSED
        self.codes[1 : len(chosen) + 1] = chosen

    def encode(self, tokens: Tensor, orders: tuple[int, ...]) -> Tensor:
        """Number n-grams: tokens (..., n), each after its predecessors -> codes (..., orders).

        Codes of different n-grams differ, also between orders.
        """
        digits = [digit + 1 for digit in tokens.unbind(-1)]
        codes = [reduce(lambda code, digit: code * self.base + digit, digits[-order:]) for order in orders]
        return torch.stack(codes, dim=-1)

    def rows(self, tokens: Tensor, orders: tuple[int, ...]) -> Tensor:
        """Find the rows of n-grams: tokens (..., n) -> row numbers (..., orders), 0 where there is none."""
        codes = self.encode(tokens, orders)
        rows = torch.searchsorted(self.codes, codes).clamp_(max=len(self.codes) - 1)
        return rows.masked_fill_(self.codes[rows] != codes, 0)

    def forward(self, tokens: Tensor) -> Tensor:
        """Look up n-gram embeddings: tokens (..., n), each after its predecessors -> (..., C).

        Positions before a text have the id vocab_size. Orders above n add nothing; with reach predecessors there are
        none.
        """
        known = [i for i, order in enumerate(self.orders) if order <= tokens.shape[-1]]
        vectors = self.table(self.rows(tokens, tuple(self.orders[i] for i in known))).flatten(-2)
        if len(known) == len(self.orders):
            return self.c_ngram(vectors)
        return F.linear(
            vectors, self.c_ngram.weight.unflatten(1, (len(self.orders), -1))[:, known].flatten(1)
        )
