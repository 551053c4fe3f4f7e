"""How well a language model predicts held-out text."""

import math

import numpy as np
import torch
from numpy.typing import NDArray

from groundup.nn.decoder import Decoder
from groundup.objectives import IGNORE_INDEX, Batch, causal_lm


@torch.inference_mode()
def total_nats(
    model: Decoder, ids: NDArray[np.unsignedinteger], first_id: int, batch_size: int = 16
) -> float:
    """-log p of all of `ids` (N,), read in windows of the model's context; each token is scored once.

    `first_id`, the end-of-text token, stands before the first token; every later window begins with the last
    token of the one before, and knows nothing older.
    """
    context, device = model.config.context_length, model.wte.weight.device
    n_windows = -(-len(ids) // context)
    inputs = np.zeros(n_windows * context, dtype=np.int64)
    targets = np.full(n_windows * context, IGNORE_INDEX, dtype=np.int64)
    inputs[0], inputs[1 : len(ids)], targets[: len(ids)] = first_id, ids[:-1], ids
    idx = torch.from_numpy(inputs).view(n_windows, context)
    wanted = torch.from_numpy(targets).view(n_windows, context)
    total = 0.0
    for start in range(0, n_windows, batch_size):
        rows = slice(start, start + batch_size)
        total += float(causal_lm(model, Batch(idx[rows], wanted[rows]).to(device))[0])
    return total


def bits_per_byte(nats: float, n_bytes: int) -> float:
    """Compression in bits per UTF-8 byte: comparable between tokenizers, unlike loss per token."""
    return nats / math.log(2) / n_bytes
