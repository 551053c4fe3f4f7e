"""GloVe: vectors whose products approximate the logarithms of co-occurrence counts (Pennington et al. 2014).

    minimise  Σ f(X_ij) · (w_i · c_j + a_i + b_j - log X_ij)²,    f(x) = min(1, (x / x_max)^alpha)

over all pairs (i, j) that occur, with AdaGrad. A word's final vector is w + c, as in the paper. The original program
updates one cell at a time; here a step updates many cells, and the loss omits the factor 1/2.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from groundup.embeddings.cooccurrence import Cooccurrence


@dataclass(frozen=True)
class Cells:
    """Cells of the co-occurrence matrix for GloVe: one micro-batch.

    Attributes:
        rows: (n,), word ids.
        columns: (n,), word ids.
        weights: (n,) float32, positive.
    """

    rows: Tensor
    columns: Tensor
    weights: Tensor

    def to(self, device: torch.device) -> "Cells":
        """Return the same micro-batch on another device."""
        return Cells(self.rows.to(device), self.columns.to(device), self.weights.to(device))

    @property
    def tokens(self) -> int:
        """Number of cells read."""
        return len(self.rows)


class GloVe(nn.Module):
    """The GloVe model: a vector and a bias for each word, and a second vector and bias for it as context."""

    def __init__(self, vocab_size: int, dimension: int) -> None:
        super().__init__()
        self.words = nn.Embedding(vocab_size, dimension)
        self.contexts = nn.Embedding(vocab_size, dimension)
        self.word_bias = nn.Embedding(vocab_size, 1)
        self.context_bias = nn.Embedding(vocab_size, 1)
        for table in (self.words, self.contexts, self.word_bias, self.context_bias):
            nn.init.uniform_(table.weight, -0.5 / dimension, 0.5 / dimension)

    def vectors(self) -> Tensor:
        """Return the final vectors of the words, each the sum of its two vectors: (V, d)."""
        return (self.words.weight + self.contexts.weight).detach()


def weighted_least_squares(model: GloVe, batch: Cells, x_max: float, alpha: float) -> tuple[Tensor, Tensor]:
    """Return the GloVe loss of a micro-batch and the number of its cells.

    The loss is the sum over cells of the weighted squared error in the module's docstring.
    """
    products = (model.words(batch.rows) * model.contexts(batch.columns)).sum(dim=-1)
    biases = (model.word_bias(batch.rows) + model.context_bias(batch.columns))[:, 0]
    trust = (batch.weights / x_max).clamp(max=1.0) ** alpha
    loss = (trust * (products + biases - batch.weights.log()) ** 2).sum()
    return loss, torch.tensor(batch.tokens, device=loss.device)


def cell_batches(
    counted: Cooccurrence, step_cells: int, seed: int
) -> tuple[Callable[[int], Sequence[Cells]], int]:
    """Return the micro-batches of GloVe and the number of steps per epoch.

    The order of the cells depends only on the seed and the epoch.

    Returns:
        A function step -> its micro-batch, and the steps per epoch.
    """
    rows, columns = torch.from_numpy(counted.rows), torch.from_numpy(counted.columns)
    weights = torch.from_numpy(counted.weights).float()
    steps = max(1, round(len(rows) / step_cells))

    @lru_cache(maxsize=1)
    def order(epoch: int) -> Tensor:
        return torch.from_numpy(np.random.default_rng((seed, epoch)).permutation(len(rows)))

    def batches(step: int) -> Sequence[Cells]:
        epoch, part = divmod(step, steps)
        chosen = order(epoch)[part * len(rows) // steps : (part + 1) * len(rows) // steps]
        return [Cells(rows[chosen], columns[chosen], weights[chosen])]

    return batches, steps
