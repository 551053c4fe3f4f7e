"""What is minimised. Every objective returns (sum of the loss, number of terms): the caller divides once.

Means of means weigh a short batch like a long one; sums and counts add up exactly over micro-steps and ranks.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from groundup.nn.classifier import SequenceClassifier
from groundup.nn.decoder import Decoder
from groundup.nn.encoder import Encoder
from groundup.nn.encoder_decoder import EncoderDecoder

IGNORE_INDEX = -100  # a target that does not count: padding, or a prompt token


@dataclass(frozen=True)
class Batch:
    """One micro-batch.

    idx (B, T) token ids, padded on the right; or features (B, T, C) for a model that reads them.
    targets (B, T) next or hidden tokens, or IGNORE_INDEX; or (B,) class ids.
    lengths (B,) real tokens of each row, for classification and for masked texts of different lengths.
    documents (B, T) the number of the document of each token, -1 at padding, where several are packed into a row.
    """

    idx: Tensor
    targets: Tensor
    lengths: Tensor | None = None
    documents: Tensor | None = None

    def to(self, device: torch.device) -> "Batch":
        """The same batch on another device."""
        return Batch(
            self.idx.to(device),
            self.targets.to(device),
            None if self.lengths is None else self.lengths.to(device),
            None if self.documents is None else self.documents.to(device),
        )

    @property
    def tokens(self) -> int:
        """Tokens read, without padding where lengths are known."""
        return self.idx.numel() if self.lengths is None else int(self.lengths.sum())


@dataclass(frozen=True)
class TranslationBatch:
    """One micro-batch of pairs.

    source (B, S) token ids, padded on the right; source_lengths (B,) real ones of each row. idx (B, T) what the
    decoder reads: a start token and the target without its end. targets (B, T) next tokens or IGNORE_INDEX.
    """

    source: Tensor
    source_lengths: Tensor
    idx: Tensor
    targets: Tensor

    def to(self, device: torch.device) -> "TranslationBatch":
        """The same batch on another device."""
        return TranslationBatch(
            self.source.to(device),
            self.source_lengths.to(device),
            self.idx.to(device),
            self.targets.to(device),
        )

    @property
    def tokens(self) -> int:
        """Tokens read on both sides, without padding."""
        return int(self.source_lengths.sum()) + int((self.targets != IGNORE_INDEX).sum())


class LinearCrossEntropy(torch.autograd.Function):
    """sum of cross_entropy(x @ weight.T + bias, targets) without ever holding all logits.

    The head and the softmax run a chunk of rows at a time, and the gradients are made in the forward pass while
    the chunk's logits are still in cache: one (chunk, V) buffer instead of (N, V) logits and their gradient.
    Matrix products run in `dtype`; softmax, sums and the gradients of `weight` and `bias` keep at least float32.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        chunk_size: int,
        dtype: torch.dtype,
        label_smoothing: float,
    ) -> Tensor:
        """See `linear_cross_entropy`; the gradients wait in `ctx` for `backward`."""
        need_x, need_weight, need_bias = ctx.needs_input_grad[:3]
        grad_weight = torch.zeros_like(weight) if need_weight else None
        grad_bias = torch.zeros_like(bias) if bias is not None and need_bias else None
        x, weight, precise = x.to(dtype), weight.to(dtype), torch.promote_types(dtype, torch.float32)
        grad_x = torch.empty_like(x) if need_x else None
        total = x.new_zeros((), dtype=precise)
        for start in range(0, len(x), chunk_size):
            rows = slice(start, start + chunk_size)
            logits = (x[rows] @ weight.T).to(precise)
            if bias is not None:
                logits += bias
            real = targets[rows] != IGNORE_INDEX
            chosen = targets[rows].clamp(min=0)[:, None]
            normaliser = logits.logsumexp(dim=-1, keepdim=True)
            wanted = logits.gather(1, chosen)
            if label_smoothing:
                wanted = wanted.lerp(logits.mean(dim=-1, keepdim=True), label_smoothing)
            total += ((normaliser - wanted)[:, 0] * real).sum()
            if need_x or need_weight or need_bias:
                gradient = logits.sub_(normaliser).exp_()  # softmax
                gradient.scatter_add_(1, chosen, torch.full_like(normaliser, label_smoothing - 1.0))
                if label_smoothing:
                    gradient -= label_smoothing / len(weight)
                gradient = gradient.mul_(real[:, None])
                if grad_bias is not None:
                    grad_bias += gradient.sum(dim=0)
                gradient = gradient.type_as(x)
                if grad_x is not None:
                    torch.mm(gradient, weight, out=grad_x[rows])
                if grad_weight is not None and grad_weight.dtype == dtype:
                    grad_weight.addmm_(gradient.T, x[rows])
                elif grad_weight is not None:
                    grad_weight += gradient.T @ x[rows]
        ctx.save_for_backward(grad_x, grad_weight, grad_bias)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        """Scale the gradients that `forward` made."""
        scaled = [None if g is None else g * grad_output.type_as(g) for g in ctx.saved_tensors]
        return (*scaled, None, None, None, None)


def linear_cross_entropy(
    x: Tensor,
    weight: Tensor,
    targets: Tensor,
    chunk_size: int = 512,
    *,
    bias: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Sum over rows of -log softmax(x @ weight.T + bias)[target]; rows with IGNORE_INDEX add nothing.

    Args:
        x: (N, C) hidden states. weight: (V, C) and bias: (V,) of the output head. targets: (N,).
        chunk_size: rows whose logits exist at one time.
        label_smoothing: share of the target's weight that is spread over all V tokens (Szegedy et al. 2016).
    """
    device = x.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
    if (
        not torch.is_grad_enabled()
    ):  # a Function is told which inputs are leaves, not whether grads are wanted
        weight, bias = weight.detach(), None if bias is None else bias.detach()
    return LinearCrossEntropy.apply(x, weight, bias, targets, chunk_size, dtype, label_smoothing)


def causal_lm(model: Decoder, batch: Batch) -> tuple[Tensor, Tensor]:
    """Next-token prediction: -log p(targets[b, t] | idx[b, :t+1]) in nats, over targets that count."""
    x, targets = model(batch.idx, documents=batch.documents).flatten(0, 1), batch.targets.flatten()
    real = targets != IGNORE_INDEX
    if not bool(real.all()):  # masked prompts and padding need no logits: most of a finetuning batch
        x, targets = x[real], targets[real]
    return linear_cross_entropy(x, model.lm_head.weight, targets), real.sum()


def masked_lm(model: Encoder, batch: Batch) -> tuple[Tensor, Tensor]:
    """Hidden tokens guessed from both sides: -log p(targets[b, t] | idx[b]) in nats (Devlin et al. 2019).

    Only positions with a target, about one in seven, go through the prediction layer and the head.
    """
    hidden, real = model(batch.idx, batch.lengths), batch.targets != IGNORE_INDEX
    x, head = model.predict(hidden[real]), model.lm_head
    return linear_cross_entropy(x, head.weight, batch.targets[real], bias=head.bias), real.sum()


def sequence_to_sequence(
    model: EncoderDecoder, batch: TranslationBatch, label_smoothing: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Next token of the target, given the source: -log p(targets[b, t] | source[b], idx[b, :t+1]) in nats.

    With smoothing, the cross entropy towards that token and, with `label_smoothing` of the weight, all tokens alike.
    """
    hidden, real = model(batch.source, batch.source_lengths, batch.idx), batch.targets != IGNORE_INDEX
    loss = linear_cross_entropy(
        hidden[real], model.decoder.lm_head.weight, batch.targets[real], label_smoothing=label_smoothing
    )
    return loss, real.sum()


def classification(
    model: SequenceClassifier, batch: Batch, class_weights: Tensor | None = None, token_dropout: float = 0.0
) -> tuple[Tensor, Tensor]:
    """-log p(class | text) in nats; with class weights, weighted sum and sum of weights.

    `token_dropout` hides that share of the tokens, so that the class is not learned from a few telling words alone.
    """
    assert batch.lengths is not None
    idx = hide_tokens(batch.idx, batch.lengths, token_dropout) if token_dropout else batch.idx
    scores = model(idx, batch.lengths).float()
    weights = None if class_weights is None else class_weights.to(scores)
    loss = F.cross_entropy(scores, batch.targets, weight=weights, reduction="sum")
    count = torch.tensor(len(scores)) if weights is None else weights[batch.targets].sum()
    return loss, count


def hide_tokens(idx: Tensor, lengths: Tensor, share: float) -> Tensor:
    """Replace a random share of each text's tokens by its last one, which itself stays.

    Word dropout (Iyyer et al. 2015). The last one is the end-of-text token, which alone says nothing about the text.

    Args:
        idx: (B, T), padded on the right. lengths: (B,).
    """
    last = (lengths - 1)[:, None]
    hidden = torch.rand(idx.shape, device=idx.device) < share
    hidden &= torch.arange(idx.shape[1], device=idx.device) < last
    return torch.where(hidden, idx.gather(1, last), idx)
