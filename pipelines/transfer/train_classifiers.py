"""Stage classify: the same classification task for every starting point, by the recipe of its size."""

from pathlib import Path

from groundup.tracking import Run
from groundup.training.config import ComputeConfig, SpamTrainingConfig
from pipelines.main.finetune_spam import train_classifiers


def main(
    run: Run,
    recipe: str,
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

    `recipe` names the section of values: finetune_spam, the main pipeline's, for models of its size; classify; or
    classify_book, on the book's split.
    """
    sections = {"finetune_spam": finetune_spam, "classify": classify, "classify_book": classify_book}
    paths = (model, spam, out, predictions, curve, state)
    train_classifiers(run, *paths, config=sections[recipe], compute=compute, model_name=None)
