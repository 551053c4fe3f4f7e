"""Finetuning a pretrained decoder or encoder to classify texts, and predicting with the result."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from groundup.checkpoint import TITLES, Checkpoint, fingerprint, load_checkpoint, save_checkpoint
from groundup.errors import BadInput
from groundup.evaluation.predictions import write_predictions
from groundup.nn.classifier import SequenceClassifier
from groundup.nn.decoder import Decoder
from groundup.nn.encoder import Encoder
from groundup.nn.trainable import freeze_all_but
from groundup.nn.transformer import check_finite
from groundup.tasks.frozen_features import Top, compute_features, fixed_blocks
from groundup.text.jsonl import read_splits
from groundup.text.labels import LABELS, SPAM, label_of
from groundup.tokenizers.loading import Tokenizer
from groundup.training import objectives
from groundup.training.batching import Batches, Texts, classification_batch, sorted_batches
from groundup.training.config import ComputeConfig, SpamTrainingConfig, TrainingConfig
from groundup.training.curves import write_curve
from groundup.training.devices import pick_device
from groundup.training.loop import Log, best_row, fit
from groundup.training.resume import Resume

SPLITS = ("train", "val", "test")


def encode_texts(tokenizer: Tokenizer, texts: Sequence[str], context_length: int) -> list[list[int]]:
    """Ids of each text, followed by the end-of-text token; a text too long for the context is cut at its end.

    The end-of-text token comes last because there the pretrained model has read a whole document. If the model
    expects a token before each text, that token comes first: the original BERT reads [CLS] text [SEP].
    """
    begin, end = tokenizer.prefix_ids, tokenizer.eot_id
    room = context_length - len(begin) - 1
    return [[*begin, *ids[:room], end] for ids in tokenizer.encode_batch(list(texts))]


def make_classifier(pretrained: Decoder | Encoder, config: SpamTrainingConfig) -> SequenceClassifier:
    """A classifier on top of the given model, on the same device. The model is changed in place."""
    model = SequenceClassifier(pretrained, len(LABELS), config.pooling).to(pretrained.wte.weight.device)
    # the language-model head is not part of the loss; a tied head is the token embedding, which may be trained
    if not pretrained.config.tie_embeddings:
        pretrained.lm_head.requires_grad_(False)
    freeze_all_but(pretrained, config.trainable_blocks, config.lora)
    return model


def class_weights(labels: Sequence[str], config: SpamTrainingConfig) -> Tensor | None:
    """Weights (classes,) that balance the classes: n / (classes · n of the class); None without weighting."""
    if config.class_weights == "none":
        return None
    counts = Counter(labels)
    return torch.tensor([len(labels) / (len(LABELS) * max(counts[label], 1)) for label in LABELS])


def training_batches(texts: Texts, labels: Sequence[str], training: TrainingConfig, seed: int) -> Batches:
    """Seeded batches of labelled texts, given as token ids or as features."""
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
    """Put a classifier on the given model and train it, in place, on labelled texts.

    Args:
        texts: ids as from `encode_texts`, or features of a frozen trunk after its first `blocks` blocks.
        labels: one of LABELS per text.
        config: its `seeds` are not read.
        seed: seeds the head, the order of the texts, the hidden tokens and dropout.
        log, resume, description: see `fit`.
        evaluate: classifier -> metrics, called when `fit` evaluates; with patience, they must include "val/mcc".

    Returns:
        The classifier and the history of `fit`.

    Raises:
        BadInput: the model has fewer blocks than are to be trained, or the pooling does not fit it; see also `fit`.
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
    """Class probabilities of each text, in the given order; texts are batched by length to save padding.

    Args:
        texts, blocks: see `finetune`.

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
    """The probability of spam of each text, in the given order.

    Args:
        texts, blocks: see `finetune`.
        labels: the label of each of the model's scores.

    Raises:
        BadInput: see `predict`.
    """
    spam = labels.index(SPAM)
    return [probabilities[spam] for probabilities in predict(model, texts, blocks=blocks)]


def spam_probabilities(checkpoint: Checkpoint, texts: Sequence[str]) -> list[float]:
    """The probability of "spam" for each text.

    Raises:
        BadInput: the checkpoint is not a spam classifier.
    """
    if checkpoint.kind != "classifier":
        raise BadInput(
            f"the checkpoint is {TITLES[checkpoint.kind]}, not a classifier; use the one that finetune_spam writes."
        )
    ids = encode_texts(checkpoint.tokenizer, texts, checkpoint.config.model.context_length)
    return predict_spam(checkpoint.model, ids, checkpoint.config.labels)


@dataclass(frozen=True)
class Seeds:
    """The result of `finetune_seeds`."""

    best: SequenceClassifier
    val_mcc: float  # of `best`
    probabilities: dict[tuple[int, str], list[float]]  # of spam, by seed and split ("val", "test")
    history: list[dict[str, float]]  # the rows of `fit` with "seed" added, in the order of the seeds


def finetune_seeds(
    base: Checkpoint,
    splits: Mapping[str, Sequence[Mapping[str, Any]]],
    config: SpamTrainingConfig,
    compute: ComputeConfig,
    *,
    log: Callable[[int], Log] = lambda seed: lambda metrics, step: None,
    resume: Callable[[int], Resume | None] = lambda seed: None,
) -> Seeds:
    """Train one classifier per seed on "train"; the best has the highest Matthews correlation on "val".

    Args:
        base: the model that every classifier starts from; it is not changed.
        splits: "train", "val" and "test", as rows with text and label.
        log: seed -> the `log` of its training; see `fit`.
        resume: seed -> the resumable state of its training.

    Raises:
        BadInput: see `finetune`.
    """
    from sklearn.metrics import matthews_corrcoef

    blocks = fixed_blocks(base.model, config)
    texts = {name: _texts(base, name, rows, blocks, compute) for name, rows in splits.items()}
    labels = {name: [row["label"] for row in rows] for name, rows in splits.items()}

    def val_scores(model: SequenceClassifier) -> dict[str, float]:
        predicted = [label_of(p) for p in predict_spam(model, texts["val"], blocks=blocks)]
        return {"val/mcc": float(matthews_corrcoef(labels["val"], predicted))}

    best: tuple[float, SequenceClassifier] | None = None
    probabilities: dict[tuple[int, str], list[float]] = {}
    curves: list[dict[str, float]] = []
    for seed in config.seeds:
        model, history = finetune(
            deepcopy(base.model),
            texts["train"],
            labels["train"],
            config,
            compute,
            seed=seed,
            log=log(seed),
            evaluate=val_scores,
            resume=resume(seed),
            description=f"finetune_spam, seed {seed}",
            blocks=blocks,
        )
        curves += [{"seed": seed, **row} for row in history]
        for name in ("val", "test"):
            probabilities[seed, name] = predict_spam(model, texts[name], blocks=blocks)
        score = best_row(history)["val/mcc"]
        if best is None or score > best[0]:
            best = (score, model)
    assert best is not None, "config.seeds is not empty"
    return Seeds(best[1], best[0], probabilities, curves)


def _texts(
    base: Checkpoint,
    name: str,
    rows: Sequence[Mapping[str, Any]],
    blocks: int | None,
    compute: ComputeConfig,
) -> Texts:
    """Token ids of each text; or its features after the first `blocks` blocks, if these stay fixed."""
    ids = encode_texts(base.tokenizer, [row["text"] for row in rows], base.config.model.context_length)
    if blocks is None:
        return ids
    return compute_features(base.model, ids, blocks, compute, description=f"features of {name}")


def train_classifiers(
    pretrained: Path,
    spam: Path,
    out: Path,
    predictions: Path,
    curve: Path,
    state: Path,
    *,
    config: SpamTrainingConfig,
    compute: ComputeConfig,
    log: Callable[[int], Log],
    standalone: bool,
) -> float:
    """Finetune one classifier per seed from a checkpoint; write the best one, all predictions and the loss curves.

    Args:
        pretrained: folder of the checkpoint to start from.
        spam: folder of the splits.
        out: folder of the checkpoint to write.
        predictions: CSV to write, with every seed's probabilities on "val" and "test".
        curve: CSV to write, with the losses of all seeds.
        state: folder of the resumable state; call `clear_states` once all outputs are stored.
        log: see `finetune_seeds`.
        standalone: write all weights, unless adapters were trained; otherwise write the trained weights only, with a
            reference to `pretrained` for the rest.

    Returns:
        Matthews correlation coefficient of the best classifier on "val".

    Raises:
        BadInput: the checkpoint cannot be read; see also `finetune`.
    """
    base, splits = load_checkpoint(pretrained, pick_device(compute)), read_splits(spam, SPLITS)
    data = {name: fingerprint(spam / f"{name}.jsonl") for name in splits}
    data["pretrained"] = fingerprint(pretrained / "model.safetensors")

    def resume(seed: int) -> Resume:
        return Resume(state / f"seed_{seed}", config=config, compute=compute, data=data, seed=seed)

    found = finetune_seeds(base, splits, config, compute, log=log, resume=resume)
    partial_weights = config.lora or (config.trainable_blocks is not None and not standalone)
    save_checkpoint(
        out,
        found.best,
        base.tokenizer,
        base=pretrained if partial_weights else None,
        lora=config.lora,
        labels=LABELS,
        params={"finetune_spam": asdict(config)},
        data=data,
    )
    write_predictions(predictions, splits, found.probabilities)
    write_curve(curve, found.history)
    return found.val_mcc
