"""What the models say about each message: probability of spam, bits per byte, and an embedding."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from groundup.checkpoint import TITLES, Checkpoint
from groundup.errors import BadInput
from groundup.tasks.classification import spam_probabilities
from groundup.training.batching import pad
from groundup.training.objectives import IGNORE_INDEX

BATCH_SIZE = 32


@dataclass(frozen=True)
class MessageScores:
    """The scores of n messages; C is the width of the pretrained model."""

    spam: NDArray[np.float64]  # (n,) the classifier's probability of spam
    bits_per_byte: NDArray[np.float64]  # (n,) cross-entropy of the text under the pretrained model
    embeddings: NDArray[np.float32]  # (n, C) the pretrained model's mean final hidden state


def score_messages(classifier: Checkpoint, pretrained: Checkpoint, texts: Sequence[str]) -> MessageScores:
    """Score messages with a spam classifier and with the language model that it was finetuned from.

    The embeddings are the language model's, because the classifier has been trained on labelled messages: its hidden
    states could tell these from new ones even if nothing has changed.

    Args:
        classifier: a spam classifier.
        pretrained: a decoder.
        texts: texts with at least one token each.

    Raises:
        BadInput: a checkpoint is of another kind, or a text is empty.
    """
    return MessageScores(
        np.array(spam_probabilities(classifier, texts), dtype=np.float64), *read_texts(pretrained, texts)
    )


@torch.inference_mode()
def read_texts(
    pretrained: Checkpoint, texts: Sequence[str], batch_size: int = BATCH_SIZE
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Return the bits per byte (n,) of each text, and its mean final hidden state (n, C).

    The model reads each text alone, after the token that starts a text; the end of the text is not scored. A text that
    is too long for the context is cut, and its bits per byte are those of the part that was read.

    Raises:
        BadInput: the checkpoint is not a decoder, or a text is empty.
    """
    if pretrained.kind != "decoder":
        raise BadInput(f"the checkpoint is {TITLES[pretrained.kind]}; expected {TITLES['decoder']}.")
    model, tokenizer = pretrained.model, pretrained.tokenizer
    context, device = pretrained.config.model.context_length, model.wte.weight.device
    first = (tokenizer.prefix_ids or (tokenizer.eot_id,))[0]
    whole = tokenizer.encode_batch(list(texts))
    if not all(whole):
        raise BadInput("found an empty text; expected at least one character: leave empty texts out.")
    ids = [text[:context] for text in whole]
    n_bytes = [
        len((text if len(read) == len(every) else tokenizer.decode(read)).encode())
        for text, read, every in zip(texts, ids, whole, strict=True)
    ]
    nats = np.zeros(len(ids))
    embeddings = np.zeros((len(ids), pretrained.config.model.n_embd), dtype=np.float32)
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        targets = pad([ids[i] for i in chosen], IGNORE_INDEX).to(device)
        idx = pad([[first, *ids[i][:-1]] for i in chosen], tokenizer.eot_id).to(device)
        x = model(idx).float()
        losses = F.cross_entropy(
            model.logits(x).float().flatten(0, 1),
            targets.flatten(),
            ignore_index=IGNORE_INDEX,
            reduction="none",
        )
        real = (targets != IGNORE_INDEX).float()
        nats[chosen] = losses.view_as(real).sum(dim=1).double().cpu().numpy()
        embeddings[chosen] = ((x * real[..., None]).sum(dim=1) / real.sum(dim=1, keepdim=True)).cpu().numpy()
    return nats / math.log(2) / np.maximum(n_bytes, 1), embeddings
