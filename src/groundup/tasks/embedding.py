"""Texts as vectors: the mean of a model's last hidden states."""

from collections.abc import Sequence

import torch
from torch import Tensor

from groundup.checkpoint import TITLES, Checkpoint
from groundup.errors import BadInput
from groundup.nn.classifier import SequenceClassifier
from groundup.tasks.classification import encode_texts
from groundup.training.batching import pad


@torch.inference_mode()
def embed(checkpoint: Checkpoint, texts: Sequence[str], batch_size: int = 32) -> Tensor:
    """Turn n texts into vectors (n, C) on the CPU: the mean of the last hidden states of each text's tokens.

    The model reads a text as a classifier does: after the token that it expects first, if any, and with the one that
    ends texts; a text that is too long for the context is cut at its end. Of a classifier, the trunk is used.

    Args:
        checkpoint: a decoder, an encoder or a classifier.
        texts: the texts.
        batch_size: texts read at once; those of similar length share a batch.

    Raises:
        BadInput: the checkpoint is an encoder-decoder.
    """
    if checkpoint.kind == "encoder_decoder":
        raise BadInput(
            f"the model is {TITLES[checkpoint.kind]}; expected {TITLES['decoder']}, {TITLES['encoder']} or "
            f"{TITLES['classifier']}: load another model."
        )
    found = checkpoint.model
    trunk = found.trunk if isinstance(found, SequenceClassifier) else found
    ids = encode_texts(checkpoint.tokenizer, texts, trunk.config.context_length)
    device, vectors = trunk.wte.weight.device, torch.zeros(len(ids), trunk.config.n_embd)
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        lengths = torch.tensor([len(ids[i]) for i in chosen], device=device)
        x = trunk.read(pad([ids[i] for i in chosen], 0).to(device), lengths=lengths).float()
        real = torch.arange(x.shape[1], device=device) < lengths[:, None]
        vectors[chosen] = ((x * real[..., None]).sum(dim=1) / lengths[:, None]).cpu()
    return vectors
