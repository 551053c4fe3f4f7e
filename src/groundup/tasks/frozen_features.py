"""Features of a frozen trunk, computed once: the blocks below the trained ones give the same output at every step."""

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

MEMORY = 2 * 2**30  # bytes of features kept in memory; larger ones go to a temporary file
BATCH_SIZE = 64


class Top(nn.Module):
    """The upper part of a classifier, without its first `blocks` blocks: it reads features instead of tokens."""

    def __init__(self, classifier: SequenceClassifier, blocks: int) -> None:
        super().__init__()
        self.classifier, self.blocks = classifier, blocks

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Features (B, T, C), padded on the right, and lengths (B,) -> class scores (B, n_classes)."""
        model = self.classifier
        x = model.trunk.above(features, self.blocks, lengths=lengths)
        return model.score(model.pool(x, lengths))


def fixed_blocks(trunk: Decoder | Encoder, config: SpamTrainingConfig) -> int | None:
    """Number of blocks whose output is the same at every step; None if even the embeddings may change."""
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
    """Hidden states (T_i, C) of each text, in order, after the first `blocks` blocks, as float32 on the CPU.

    Args:
        description: title of the progress bar; None shows no bar.
    """
    device = trunk.wte.weight.device
    lengths = [len(i) for i in ids]
    features = list(_empty((sum(lengths), trunk.config.n_embd)).split(lengths))
    order = sorted(range(len(ids)), key=lambda i: lengths[i])
    with tqdm(total=len(order), desc=description, unit="text", disable=None if description else True) as bar:
        for start in range(0, len(order), BATCH_SIZE):
            chosen = order[start : start + BATCH_SIZE]
            idx = pad([ids[i] for i in chosen], 0).to(device)
            with autocast(compute, device):
                x = trunk.below(
                    idx, blocks, lengths=torch.tensor([lengths[i] for i in chosen], device=device)
                )
            for row, i in zip(x, chosen, strict=True):
                features[i].copy_(row[: lengths[i]])
            bar.update(len(chosen))
    return features


def _empty(shape: tuple[int, int]) -> Tensor:
    """A float32 tensor in memory, or in a temporary file that disappears with it."""
    if prod(shape) * 4 <= MEMORY:
        return torch.empty(shape)
    with tempfile.TemporaryFile() as file:
        return torch.from_numpy(np.memmap(file, np.float32, "w+", shape=shape))
