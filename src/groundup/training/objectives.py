"""The objectives that training minimises. Each returns (sum of the loss, number of terms).

The caller divides once per step: sums and counts add up exactly over micro-batches and ranks, whereas a mean
of means would weight a short batch like a long one.
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

IGNORE_INDEX = -100  # no target: padding or a prompt token


@dataclass(frozen=True)
class Batch:
    """One micro-batch of texts.

    Attributes:
        idx: (B, T) token ids, padded on the right; or (B, T, C) features, for a model that reads features.
        targets: (B, T) next or hidden tokens, IGNORE_INDEX where there is none; or (B,) class ids.
        lengths: (B,) number of real tokens per row; None: there is no padding.
        documents: (B, T), in packed rows, the number of each token's document (see `Transformer.read`).
    """

    idx: Tensor
    targets: Tensor
    lengths: Tensor | None = None
    documents: Tensor | None = None

    def to(self, device: torch.device) -> "Batch":
        """Return the same batch on another device."""
        return Batch(
            self.idx.to(device),
            self.targets.to(device),
            None if self.lengths is None else self.lengths.to(device),
            None if self.documents is None else self.documents.to(device),
        )

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.idx)

    def part(self, start: int, stop: int) -> "Batch":
        """Return the rows from `start` to before `stop`."""
        lengths, documents = self.lengths, self.documents
        return Batch(
            self.idx[start:stop],
            self.targets[start:stop],
            None if lengths is None else lengths[start:stop],
            None if documents is None else documents[start:stop],
        )

    @property
    def tokens(self) -> int:
        """Number of tokens, without padding if `lengths` is given."""
        return self.idx.numel() if self.lengths is None else int(self.lengths.sum())


@dataclass(frozen=True)
class TranslationBatch:
    """One micro-batch of sentence pairs.

    Attributes:
        source: (B, S) token ids, padded on the right.
        source_lengths: (B,) number of real tokens of each source.
        idx: (B, T) the decoder's input: a start token and the target without its last token.
        targets: (B, T) next tokens, IGNORE_INDEX at padding.
    """

    source: Tensor
    source_lengths: Tensor
    idx: Tensor
    targets: Tensor

    def to(self, device: torch.device) -> "TranslationBatch":
        """Return the same batch on another device."""
        return TranslationBatch(
            self.source.to(device),
            self.source_lengths.to(device),
            self.idx.to(device),
            self.targets.to(device),
        )

    @property
    def rows(self) -> int:
        """Number of pairs."""
        return len(self.idx)

    def part(self, start: int, stop: int) -> "TranslationBatch":
        """Return the pairs from `start` to before `stop`."""
        return TranslationBatch(*(tensor[start:stop] for tensor in vars(self).values()))

    @property
    def tokens(self) -> int:
        """Number of tokens on both sides, without padding."""
        return int(self.source_lengths.sum()) + int((self.targets != IGNORE_INDEX).sum())


class LinearCrossEntropy(torch.autograd.Function):
    """The sum of cross_entropy(x @ weight.T + bias, targets), without all logits in memory at once.

    The head and the softmax process one chunk of rows at a time. The forward pass computes the gradients too,
    in the memory of the chunk's logits: log softmax, loss, softmax and gradient take its place one after the
    other, in two passes. So it needs one (chunk, V) buffer instead of (N, V) logits, their log softmax and
    its gradient. Matrix products run in `dtype`; softmax and the sum of the loss are in float32 or wider, and
    the gradients of `weight` and `bias` are summed in the dtypes of those tensors. They are those of the mean, which
    training minimises, so that the backward pass need not multiply a gradient as large as the head.
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
        """Compute the loss (see `linear_cross_entropy`), and save the gradients in `ctx` for `backward`.

        Every target must be a token.
        """
        need_x, need_weight, need_bias = ctx.needs_input_grad[:3]
        grad_weight = torch.zeros_like(weight) if need_weight and len(x) != chunk_size else None
        grad_bias = torch.zeros_like(bias) if bias is not None and need_bias else None
        wide, ctx.terms = weight.dtype, max(len(x), 1)
        shares = (x / ctx.terms).to(dtype) if need_weight else None  # the factors of the head's gradient
        x, weight, precise = x.to(dtype), weight.to(dtype), torch.promote_types(dtype, torch.float32)
        grad_x = torch.empty_like(x) if need_x else None
        total = x.new_zeros((), dtype=precise)
        for start in range(0, len(x), chunk_size):
            rows = slice(start, start + chunk_size)
            logits = (x[rows] @ weight.T).to(precise)
            if bias is not None:
                logits += bias
            log_p = torch.log_softmax(logits, dim=-1, out=logits)
            chosen = targets[rows, None]
            wanted = log_p.gather(1, chosen)
            if label_smoothing:
                wanted = wanted.lerp(log_p.mean(dim=-1, keepdim=True), label_smoothing)
            total -= wanted.sum()
            if need_x or need_weight or need_bias:
                gradient = log_p.exp_()  # softmax
                gradient.scatter_add_(1, chosen, torch.full_like(wanted, label_smoothing - 1.0))
                if label_smoothing:
                    gradient -= label_smoothing / len(weight)
                if grad_bias is not None:
                    grad_bias += gradient.sum(dim=0)
                gradient = gradient.type_as(x)
                if grad_x is not None:
                    torch.mm(gradient, weight, out=grad_x[rows])
                if shares is not None:
                    if grad_weight is None:  # the only chunk
                        grad_weight = (gradient.T @ shares).to(wide)
                    elif wide == dtype:
                        grad_weight.addmm_(gradient.T, shares[rows])
                    else:
                        grad_weight += gradient.T @ shares[rows]
        for grad in (grad_x, grad_bias):
            if grad is not None:
                grad /= ctx.terms
        ctx.save_for_backward(grad_x, grad_weight, grad_bias)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        """Scale the gradients that `forward` computed; those of a mean have scale 1."""
        gradients, scale = ctx.saved_tensors, grad_output * ctx.terms
        if scale.device.type != "cpu" or abs(float(scale) - 1.0) > 1e-6:  # a GPU would have to be waited for
            gradients = [None if g is None else g * scale.type_as(g) for g in gradients]
        return (*gradients, None, None, None, None)


# Rows of logits are processed together as far as they fit: 256 MiB in float32. Few, large chunks are faster, since
# each one adds to the whole gradient of the head.
LOGITS_AT_ONCE = 2**26


def linear_cross_entropy(
    x: Tensor,
    weight: Tensor,
    targets: Tensor,
    chunk_size: int | None = None,
    *,
    bias: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Compute the sum over rows of -log softmax(x @ weight.T + bias)[target], in nats.

    Args:
        x: (N, C), hidden states.
        weight: (V, C), of the output head.
        targets: (N,), token ids; rows with IGNORE_INDEX do not count, and get no logits.
        chunk_size: largest number of rows whose logits are in memory at once; None: LOGITS_AT_ONCE / V.
        bias: (V,), of the output head; None: it has none.
        label_smoothing: share of the target probability spread evenly over all V tokens (Szegedy et al. 2016).
    """
    real = targets != IGNORE_INDEX
    if not bool(real.all()):  # prompts and padding, most of a finetuning batch
        x, targets = x[real], targets[real]
    device = x.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
    # needs_input_grad in a Function ignores whether gradients are enabled
    if not torch.is_grad_enabled():
        weight, bias = weight.detach(), None if bias is None else bias.detach()
    at_once = chunk_size or max(1, LOGITS_AT_ONCE // len(weight))
    chunks = max(1, -(-len(x) // at_once))
    even = max(1, -(-len(x) // chunks))
    return LinearCrossEntropy.apply(x, weight, bias, targets, even, dtype, label_smoothing)


def causal_lm(model: Decoder, batch: Batch) -> tuple[Tensor, Tensor]:
    """Compute the loss of next-token prediction: -log p(targets[b, t] | idx[b, :t+1]) in nats.

    Returns:
        The sum over all targets other than IGNORE_INDEX, and their number.
    """
    x, targets = model(batch.idx, documents=batch.documents).flatten(0, 1), batch.targets.flatten()
    return linear_cross_entropy(x, model.lm_head.weight, targets), (targets != IGNORE_INDEX).sum()


def token_distributions(model: Decoder, batch: Batch) -> Tensor:
    """Compute log p over the vocabulary at the N positions that have a target: (N, V)."""
    hidden = model(batch.idx, documents=batch.documents)[batch.targets != IGNORE_INDEX]
    return model.logits(hidden).float().log_softmax(dim=-1)


def masked_lm(model: Encoder, batch: Batch) -> tuple[Tensor, Tensor]:
    """Compute the loss of masked language modelling: -log p(targets[b, t] | idx[b]) in nats.

    Hidden tokens are predicted from both sides (Devlin et al. 2019). Only positions with a target, about one
    in seven, pass through the prediction layer and the head.

    Returns:
        The sum over all targets other than IGNORE_INDEX, and their number.
    """
    hidden, real = model(batch.idx, batch.lengths), batch.targets != IGNORE_INDEX
    x, head = model.predict(hidden[real]), model.lm_head
    return linear_cross_entropy(x, head.weight, batch.targets[real], bias=head.bias), real.sum()


def sequence_to_sequence(
    model: EncoderDecoder, batch: TranslationBatch, label_smoothing: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Compute the loss of translation: -log p(targets[b, t] | source[b], idx[b, :t+1]) in nats.

    Args:
        model: the encoder-decoder.
        batch: pairs of source and target.
        label_smoothing: share of the target probability spread evenly over all tokens.

    Returns:
        The sum over all targets other than IGNORE_INDEX, and their number.
    """
    x, targets = model(batch.source, batch.source_lengths, batch.idx).flatten(0, 1), batch.targets.flatten()
    loss = linear_cross_entropy(x, model.decoder.lm_head.weight, targets, label_smoothing=label_smoothing)
    return loss, (targets != IGNORE_INDEX).sum()


def classification(
    model: SequenceClassifier, batch: Batch, class_weights: Tensor | None = None, token_dropout: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Compute the loss of classification: -log p(class | text) in nats.

    Args:
        model: the classifier.
        batch: texts and their classes.
        class_weights: (n_classes,), weight of each class; None: all are 1.
        token_dropout: share of the tokens that is hidden, so that the model does not rely on a few revealing
            words.

    Returns:
        The sum over the texts, each weighted by its class, and the sum of their weights.
    """
    assert batch.lengths is not None
    idx = hide_tokens(batch.idx, batch.lengths, token_dropout) if token_dropout else batch.idx
    scores = model(idx, batch.lengths).float()
    weights = None if class_weights is None else class_weights.to(scores)
    loss = F.cross_entropy(scores, batch.targets, weight=weights, reduction="sum")
    count = torch.tensor(len(scores)) if weights is None else weights[batch.targets].sum()
    return loss, count


def hide_tokens(idx: Tensor, lengths: Tensor, share: float) -> Tensor:
    """Replace a random share of each text's tokens by its last token (word dropout; Iyyer et al. 2015).

    The last token is the end-of-text token, which has no information about the text.

    Args:
        idx: (B, T), token ids padded on the right.
        lengths: (B,), number of real tokens per row.
        share: probability of each token to be replaced.

    Returns:
        The new token ids (B, T).
    """
    last = (lengths - 1)[:, None]
    hidden = torch.rand(idx.shape, device=idx.device) < share
    hidden &= torch.arange(idx.shape[1], device=idx.device) < last
    return torch.where(hidden, idx.gather(1, last), idx)
