"""Finetuning a pretrained decoder or encoder to tell classes of text apart, and asking the result."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from groundup.checkpoint import TITLES, Checkpoint
from groundup.errors import BadInput
from groundup.nn.classifier import SequenceClassifier
from groundup.nn.decoder import Decoder
from groundup.nn.encoder import Encoder
from groundup.nn.trainable import choose_trainable
from groundup.nn.transformer import check_finite
from groundup.tasks.frozen_features import Top
from groundup.text.labels import LABELS, SPAM
from groundup.tokenizers.loading import Tokenizer
from groundup.training import objectives
from groundup.training.batching import Batches, Texts, classification_batch, sorted_batches
from groundup.training.config import ComputeConfig, SpamTrainingConfig, TrainingConfig
from groundup.training.loop import Log, fit
from groundup.training.resume import Resume


def encode_texts(tokenizer: Tokenizer, texts: Sequence[str], context_length: int) -> list[list[int]]:
    """Ids of each text with the end-of-text token behind it; of a text too long for the context, the beginning.

    The end token is the last real one: the position at which the pretrained model has read a whole document. Where
    the model expects a token before each text, that stands there: a published BERT reads [CLS] text [SEP].
    """
    begin, end = tokenizer.prefix_ids, tokenizer.eot_id
    room = context_length - len(begin) - 1
    return [[*begin, *ids[:room], end] for ids in tokenizer.encode_batch(list(texts))]


def make_classifier(pretrained: Decoder | Encoder, config: SpamTrainingConfig) -> SequenceClassifier:
    """A classifier on top of the given model, which it takes over, on the same device."""
    model = SequenceClassifier(pretrained, len(LABELS), config.pooling).to(pretrained.wte.weight.device)
    if not pretrained.config.tie_embeddings:  # a tied head is the token table, which is trained
        pretrained.lm_head.requires_grad_(False)  # not part of the loss
    choose_trainable(pretrained, config.trainable_blocks, config.lora)
    return model


def class_weights(labels: Sequence[str], config: SpamTrainingConfig) -> Tensor | None:
    """Weights that make both classes count alike: n / (classes · n of the class); None without weighting."""
    if config.class_weights == "none":
        return None
    counts = Counter(labels)
    return torch.tensor([len(labels) / (len(LABELS) * max(counts[label], 1)) for label in LABELS])


def training_batches(texts: Texts, labels: Sequence[str], training: TrainingConfig, seed: int) -> Batches:
    """Seeded batches of labelled texts: ids, or features of each."""
    classes = [LABELS.index(label) for label in labels]
    return sorted_batches(
        list(map(len, texts)),
        lambda chosen: classification_batch([texts[i] for i in chosen], [classes[i] for i in chosen]),
        training.batch_size,
        training.grad_accum_steps,
        seed,
    )


def finetune(
    trunk: Decoder | Encoder,
    texts: Texts,
    labels: Sequence[str],
    config: SpamTrainingConfig,
    compute: ComputeConfig,
    *,
    seed: int,
    description: str,
    blocks: int | None = None,
    log: Log = lambda metrics, step: None,
    evaluate: Callable[[SequenceClassifier], Mapping[str, float]] | None = None,
    resume: Resume | None = None,
) -> tuple[SequenceClassifier, list[dict[str, float]]]:
    """A classifier on the given model, which it takes over, trained on labelled texts; and the history of `fit`.

    Args:
        texts: ids as from `encode_texts`, or features of a frozen trunk after its first `blocks` blocks. labels: of
            each text, one of LABELS.
        config: its `seeds` are not read.
        seed: of the head, the order of the texts, the tokens hidden and dropout.
        log, resume, description: see `fit`.
        evaluate: classifier -> metrics, called when `fit` evaluates; with patience, "val/mcc" among them.

    Raises:
        BadInput: more blocks to train than the model has, a pooling that does not fit it, or see `fit`.
    """
    torch.manual_seed(seed)
    model = make_classifier(trunk, config)
    history = fit(
        model if blocks is None else Top(model, blocks),
        partial(
            objectives.classification,
            class_weights=class_weights(labels, config),
            token_dropout=config.token_dropout,
        ),
        training_batches(texts, labels, config.training, seed),
        config.training,
        compute,
        seed=seed,
        log=log,
        evaluate=None if evaluate is None else lambda step: evaluate(model),
        monitor="val/mcc",
        mode="max",
        resume=resume,
        description=description,
    )
    return model, history


@torch.inference_mode()
def predict(
    model: SequenceClassifier, texts: Texts, batch_size: int = 64, *, blocks: int | None = None
) -> list[list[float]]:
    """Class probabilities of each text, in order; batched by length, so that little is spent on padding.

    `texts` and `blocks` as in `finetune`.

    Raises:
        BadInput: the model's scores are not finite.
    """
    device = model.score.weight.device
    asked = model if blocks is None else Top(model, blocks)
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    found: dict[int, list[float]] = {}
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        batch = classification_batch([texts[i] for i in chosen], [0] * len(chosen)).to(device)
        scores = asked(batch.idx, batch.lengths).float()
        check_finite(scores)
        found |= dict(zip(chosen, scores.softmax(dim=-1).tolist(), strict=True))
    return [found[i] for i in range(len(texts))]


def predict_spam(
    model: SequenceClassifier, texts: Texts, labels: Sequence[str] = LABELS, *, blocks: int | None = None
) -> list[float]:
    """The probability of spam of each text, in order; `labels` name the model's scores; otherwise as `predict`."""
    spam = labels.index(SPAM)
    return [probabilities[spam] for probabilities in predict(model, texts, blocks=blocks)]


def spam_probabilities(checkpoint: Checkpoint, texts: Sequence[str]) -> list[float]:
    """The probability of "spam" for each text.

    Raises:
        BadInput: the checkpoint is not a spam classifier.
    """
    if checkpoint.kind != "classifier":
        raise BadInput(
            f"the checkpoint is {TITLES[checkpoint.kind]}, not a classifier; give the one of finetune_spam."
        )
    ids = encode_texts(checkpoint.tokenizer, texts, checkpoint.config.model.context_length)
    return predict_spam(checkpoint.model, ids, checkpoint.config.labels)
