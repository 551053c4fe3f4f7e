"""Stage train_classifiers: the same classification task for every starting point, by the values of its size."""

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
    """Write the classifier, every seed's predictions and the loss curves.

    `section` names the values: finetune_spam, the main pipeline's, for models of its size; classify, for published
    ones; classify_book, on the book's split.
    """
    from groundup.tasks.classification import train_classifiers
    from groundup.training.resume import clear_states

    sections = {"finetune_spam": finetune_spam, "classify": classify, "classify_book": classify_book}
    paths = (model, spam, out, predictions, curve, state)
    train_classifiers(*paths, config=sections[section], compute=compute, log=run.log, standalone=False)
    run.artifact(predictions, "predictions")
    run.artifact(curve, "curves")
    run.pointer(out / "model.safetensors", "checkpoint")
    clear_states(state)
