"""Spam classification: finetuning of a pretrained decoder or encoder, and prediction with the result."""

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
from groundup.training.ranks import only_first_continues
from groundup.training.resume import Resume

SPLITS = ("train", "val", "test")


def encode_texts(tokenizer: Tokenizer, texts: Sequence[str], context_length: int) -> list[list[int]]:
    """Encode texts for a classifier: the ids of each, followed by the end-of-text token.

    A text that is too long for the context is cut at its end. The end-of-text token is last because the
    pretrained model has read a whole document there. If the model expects a token before each text, it comes
    first: the original BERT reads [CLS] text [SEP].
    """
    begin, end = tokenizer.prefix_ids, tokenizer.eot_id
    room = context_length - len(begin) - 1
    return [[*begin, *ids[:room], end] for ids in tokenizer.encode_batch(list(texts))]


def make_classifier(pretrained: Decoder | Encoder, config: SpamTrainingConfig) -> SequenceClassifier:
    """Make a spam classifier from a pretrained model, which is changed in place, on the same device.

    Raises:
        BadInput: the pooling does not fit the model; otherwise as `freeze_all_but` does.
    """
    model = SequenceClassifier(pretrained, len(LABELS), config.pooling).to(pretrained.wte.weight.device)
    # the loss does not use the language-model head; a tied head is the token embedding, which may be trained
    if not pretrained.config.tie_embeddings:
        pretrained.lm_head.requires_grad_(False)
    freeze_all_but(pretrained, config.trainable_blocks, config.lora)
    return model


def class_weights(labels: Sequence[str], config: SpamTrainingConfig) -> Tensor | None:
    """Return the weights (n_classes,) of the classes in the loss; None if they are not weighted.

    The weight of a class is n / (n_classes · number of its texts), for n texts in all.
    """
    if config.class_weights == "none":
        return None
    counts = Counter(labels)
    return torch.tensor([len(labels) / (len(LABELS) * max(counts[label], 1)) for label in LABELS])


def training_batches(texts: Texts, labels: Sequence[str], training: TrainingConfig, seed: int) -> Batches:
    """Make seeded batches of labelled texts, which are token ids or features (see `sorted_batches`)."""
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
    """Finetune a model, in place, as a spam classifier on labelled texts.

    Args:
        trunk: the pretrained model.
        texts: ids as from `encode_texts`, or features of a frozen trunk after its first `blocks` blocks.
        labels: one of LABELS per text.
        config: settings of the finetuning; `seeds` is not used.
        compute: the precision.
        seed: seeds the adapters, the order of the texts, the hidden tokens and dropout.
        description: see `fit`.
        blocks: number of blocks that were applied to compute the features; None: `texts` are ids.
        log: see `fit`.
        evaluate: classifier -> metrics. It is called when `fit` evaluates; with patience, the metrics must
            include "val/mcc".
        resume: see `fit`.

    Returns:
        The classifier and the history of `fit`.

    Raises:
        BadInput: the model has fewer blocks than should be trained, or the pooling does not fit it; see also
            `fit`.
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
    """Predict the class probabilities of texts, in the given order.

    Args:
        model: the classifier.
        texts: see `finetune`.
        batch_size: texts per batch; texts of similar length share a batch, to save padding.
        blocks: see `finetune`.

    Returns:
        For each text, the probability of each class.

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
    """Predict the probability of spam of each text, in the given order.

    Args:
        model: the classifier.
        texts: see `finetune`.
        labels: the label of each of the model's classes.
        blocks: see `finetune`.

    Raises:
        BadInput: as `predict` does.
    """
    spam = labels.index(SPAM)
    return [probabilities[spam] for probabilities in predict(model, texts, blocks=blocks)]


@dataclass(frozen=True)
class Classification:
    """The answer of a classifier to one text.

    Attributes:
        label: the most likely label; of equally likely ones, the last.
        probabilities: the probability of each label.
    """

    label: str
    probabilities: dict[str, float]


def classify(checkpoint: Checkpoint, texts: Sequence[str]) -> list[Classification]:
    """Classify each text with a classifier's checkpoint.

    Raises:
        BadInput: the checkpoint is not a classifier, or as `predict` does.
    """
    if checkpoint.kind != "classifier":
        raise BadInput(
            f"the checkpoint is {TITLES[checkpoint.kind]}, not a classifier; expected one that the stage finetune_spam "
            f"wrote: give another checkpoint."
        )
    ids = encode_texts(checkpoint.tokenizer, texts, checkpoint.config.model.context_length)
    labels = checkpoint.config.labels
    found = []
    for row in predict(checkpoint.model, ids):
        _, best = max((probability, place) for place, probability in enumerate(row))
        found.append(Classification(labels[best], dict(zip(labels, row, strict=True))))
    return found


def spam_probabilities(checkpoint: Checkpoint, texts: Sequence[str]) -> list[float]:
    """Predict the probability of spam of each text with a classifier's checkpoint.

    Raises:
        BadInput: as `classify` does.
    """
    return [found.probabilities[SPAM] for found in classify(checkpoint, texts)]


@dataclass(frozen=True)
class Seeds:
    """The spam classifiers of all seeds: the result of `finetune_seeds`."""

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
    """Train one spam classifier per seed on "train"; the best has the highest Matthews correlation on "val".

    Args:
        base: the model that every classifier starts from; it is not changed.
        splits: "train", "val" and "test", as rows with text and label.
        config: settings of the finetuning.
        compute: the precision.
        log: seed -> the function that receives the metrics of its training; see `fit`.
        resume: seed -> where the state of its training is saved.

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
    """Encode the texts of a split: as token ids or, with `blocks`, as features after that many blocks."""
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
    """Finetune one spam classifier per seed; write the best one, all predictions and the loss curves.

    Args:
        pretrained: folder of the checkpoint to start from.
        spam: folder of the spam splits.
        out: folder of the checkpoint to write.
        predictions: CSV file to write, with every seed's probabilities on "val" and "test".
        curve: CSV file to write, with the losses of all seeds.
        state: folder of the resumable state; call `clear_states` once all outputs are stored.
        config: settings of the finetuning.
        compute: device and precision.
        log: seed -> the function that receives the metrics of its training; see `fit`.
        standalone: write all weights, unless adapters were trained. Otherwise, if some weights were frozen,
            write only the trained ones and a reference to `pretrained`.

    Returns:
        The Matthews correlation coefficient of the best classifier on "val".

    Raises:
        BadInput: the checkpoint cannot be read; see also `finetune`.
    """
    base, splits = load_checkpoint(pretrained, pick_device(compute)), read_splits(spam, SPLITS)
    data = {name: fingerprint(spam / f"{name}.jsonl") for name in splits}
    data["pretrained"] = fingerprint(pretrained / "model.safetensors")

    def resume(seed: int) -> Resume:
        return Resume(state / f"seed_{seed}", config=config, compute=compute, data=data, seed=seed)

    found = finetune_seeds(base, splits, config, compute, log=log, resume=resume)
    only_first_continues()
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
