"""Finetune spam classifiers from one start, one per seed, with the settings for models of its size."""

from pathlib import Path

from groundup.tracking import Run
from groundup.training.config import ComputeConfig, SpamTrainingConfig


def main(
    run: Run,
    section: str,
    model: Path,
    spam: Path,
    out: Path,
    predictions: Path,
    curve: Path,
    state: Path,
    *,
    finetune_spam: SpamTrainingConfig,
    classify: SpamTrainingConfig,
    classify_book: SpamTrainingConfig,
    compute: ComputeConfig,
) -> None:
    """Write the best classifier, every seed's predictions and the loss curves.

    `section` names the settings: finetune_spam for models as small as the main pipeline's, classify for downloaded
    models, or classify_book for the book's split.
    """
    from groundup.tasks.classification import train_classifiers
    from groundup.training.resume import clear_states

    sections = {"finetune_spam": finetune_spam, "classify": classify, "classify_book": classify_book}
    paths = (model, spam, out, predictions, curve, state)
    run.reads(spam / "train.jsonl", "spam-train", "training")
    run.reads(spam / "val.jsonl", "spam-val", "validation")
    train_classifiers(
        *paths, config=sections[section], compute=compute, log=run.log_of_seed, standalone=False
    )
    run.artifact(predictions, "predictions")
    run.artifact(curve, "curves")
    run.pointer(out / "model.safetensors", "checkpoint")
    clear_states(state)
