"""Features of frozen blocks, computed once before a classifier is trained.

The blocks below the trained ones have the same output at every step.
"""

import tempfile
from collections.abc import Sequence
from math import prod

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from groundup.nn.classifier import SequenceClassifier
from groundup.nn.decoder import Decoder
from groundup.nn.encoder import Encoder
from groundup.training.batching import pad
from groundup.training.config import ComputeConfig, SpamTrainingConfig
from groundup.training.devices import autocast

MEMORY = 2 * 2**30  # largest number of bytes of features kept in memory; more are kept in a temporary file
BATCH_SIZE = 64


class Top(nn.Module):
    """The upper part of a classifier, without its first `blocks` blocks: it reads features instead of tokens."""

    def __init__(self, classifier: SequenceClassifier, blocks: int) -> None:
        super().__init__()
        self.classifier, self.blocks = classifier, blocks

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Classify features: return the scores of the classes, (B, n_classes).

        Args:
            features: (B, T, C), padded on the right.
            lengths: (B,), number of real tokens per row.
        """
        model = self.classifier
        x = model.trunk.above(features, self.blocks, lengths=lengths)
        return model.score(model.pool(x, lengths))


def fixed_blocks(trunk: Decoder | Encoder, config: SpamTrainingConfig) -> int | None:
    """Return the number of blocks whose output is the same at every training step.

    The result is None if everything is trained, or if dropout changes even the embeddings.
    """
    if config.trainable_blocks is None or config.token_dropout or trunk.config.dropout:
        return None
    return len(trunk.h) - config.trainable_blocks


@torch.no_grad()
def compute_features(
    trunk: Decoder | Encoder,
    ids: Sequence[Sequence[int]],
    blocks: int,
    compute: ComputeConfig,
    *,
    description: str | None = None,
) -> list[Tensor]:
    """Compute the features of texts: their hidden states after the first `blocks` blocks.

    Args:
        trunk: the model.
        ids: token ids of each text.
        blocks: number of blocks.
        compute: the precision.
        description: title of the progress bar; None: show no bar.

    Returns:
        For each text, in order, (T_i, C) in float32 on the CPU.

    Raises:
        BadInput: a text is longer than the context.
    """
    device = trunk.wte.weight.device
    lengths = [len(i) for i in ids]
    features = list(_empty((sum(lengths), trunk.config.n_embd)).split(lengths))
    order = sorted(range(len(ids)), key=lambda i: lengths[i])
    with tqdm(total=len(order), desc=description, unit="text", disable=None if description else True) as bar:
        for start in range(0, len(order), BATCH_SIZE):
            chosen = order[start : start + BATCH_SIZE]
            idx = pad([ids[i] for i in chosen], 0).to(device)
            with autocast(compute, device, trunk):
                x = trunk.below(
                    idx, blocks, lengths=torch.tensor([lengths[i] for i in chosen], device=device)
                )
            for row, i in zip(x, chosen, strict=True):
                features[i].copy_(row[: lengths[i]])
            bar.update(len(chosen))
    return features


def _empty(shape: tuple[int, int]) -> Tensor:
    """Return a float32 tensor in memory or, if it is large, in a temporary file that disappears with it."""
    if prod(shape) * 4 <= MEMORY:
        return torch.empty(shape)
    with tempfile.TemporaryFile() as file:
        return torch.from_numpy(np.memmap(file, np.float32, "w+", shape=shape))
