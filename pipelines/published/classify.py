"""Stage classify: the same classification task for every starting point, by the recipe of its size."""

from pathlib import Path

from groundup.published_params import load_published_params
from groundup.recipes import ComputeConfig, SpamTrainingConfig
from groundup.tracking import Run
from pipelines.finetune_spam import train_classifiers
from pipelines.stage import run_stage


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


if __name__ == "__main__":
    params = load_published_params(Path("params.yaml"), Path("pipelines/published/params.yaml"))
    run_stage(
        main,
        finetune_spam=params.finetune_spam,
        classify=params.classify,
        classify_book=params.classify_book,
        compute=params.compute,
    )
