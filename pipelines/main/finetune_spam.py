"""Finetune the pretrained decoder to classify messages: one classifier per seed, of which the best on val is kept."""

from pathlib import Path

from groundup.text.fingerprints import fingerprints
from groundup.text.jsonl import read_jsonl
from groundup.tracking import Run
from groundup.tracking.registry import SPAM_MODEL
from groundup.training.config import ComputeConfig, SpamTrainingConfig


def main(
    run: Run,
    pretrained: Path,
    spam: Path,
    out: Path,
    predictions: Path,
    curve: Path,
    state: Path,
    *,
    finetune_spam: SpamTrainingConfig,
    compute: ComputeConfig,
) -> None:
    """Write the classifier, every seed's predictions on val and test, and the loss curves."""
    from groundup.tasks.classification import train_classifiers
    from groundup.training.resume import clear_states

    paths = (pretrained, spam, out, predictions, curve, state)
    run.reads(spam / "train.jsonl", "spam-train", "training")
    val = run.reads(spam / "val.jsonl", "spam-val", "validation")
    val_mcc = train_classifiers(
        *paths, config=finetune_spam, compute=compute, log=run.log_of_seed, standalone=True
    )
    run.artifact(predictions, "predictions")
    run.artifact(curve, "curves")
    run.pointer(out / "model.safetensors", "checkpoint")
    run.register(
        out,
        SPAM_MODEL,
        input_example=["Are we still meeting for lunch?", "You have WON a prize! Call now to claim"],
        params={},
        metrics={"val/mcc": val_mcc},
        dataset=val,
        made=[predictions],
        trained_on=fingerprints(read_jsonl(spam / "train.jsonl")),
    )
    clear_states(state)
