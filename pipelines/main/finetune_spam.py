"""Finetune the pretrained decoder to classify messages: one classifier a seed, the best on val is kept."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import Any

from groundup.evaluation.predictions import write_predictions
from groundup.text.jsonl import read_splits
from groundup.text.labels import LABELS, label_of
from groundup.tracking import Run
from groundup.training.config import ComputeConfig, SpamTrainingConfig
from groundup.training.curves import write_curve

MODEL_NAME = "groundup-spam"  # in the model registry


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
    paths = (pretrained, spam, out, predictions, curve, state)
    train_classifiers(run, *paths, config=finetune_spam, compute=compute, model_name=MODEL_NAME)


def train_classifiers(
    run: Run,
    pretrained: Path,
    spam: Path,
    out: Path,
    predictions: Path,
    curve: Path,
    state: Path,
    *,
    config: SpamTrainingConfig,
    compute: ComputeConfig,
    model_name: str | None,
) -> None:
    """The work of this stage on any starting point; the model is registered as `model_name`, if that is given."""
    from sklearn.metrics import matthews_corrcoef

    from groundup.checkpoint import fingerprint, load_checkpoint, save_checkpoint
    from groundup.tasks import classification
    from groundup.tasks.frozen_features import compute_features, fixed_blocks
    from groundup.training.batching import Texts
    from groundup.training.devices import pick_device
    from groundup.training.loop import kept_row
    from groundup.training.resume import Resume

    device = pick_device(compute)
    splits = read_splits(spam, ("train", "val", "test"))
    labels = {split: [row["label"] for row in rows] for split, rows in splits.items()}
    data = {split: fingerprint(spam / f"{split}.jsonl") for split in splits}
    data["pretrained"] = fingerprint(pretrained / "model.safetensors")
    found: dict[tuple[int, str], list[float]] = {}
    curves: list[dict[str, float]] = []
    resumes: list[Resume] = []
    best: tuple[float, Any] | None = None
    base = load_checkpoint(pretrained, device)
    context, blocks = base.config.model.context_length, fixed_blocks(base.model, config)
    ids = {
        split: classification.encode_texts(base.tokenizer, [row["text"] for row in rows], context)
        for split, rows in splits.items()
    }
    texts: dict[str, Texts] = {**ids}
    if blocks is not None:  # every seed begins with the same trunk: its lower blocks read each text only once
        texts |= {
            split: compute_features(
                base.model, ids[split], blocks, compute, description=f"features of {split}"
            )
            for split in splits
        }

    def val_scores(model: Any) -> dict[str, float]:
        called = [label_of(p) for p in classification.predict_spam(model, texts["val"], blocks=blocks)]
        return {"val/mcc": float(matthews_corrcoef(labels["val"], called))}

    for seed in config.seeds:

        def log(metrics: Mapping[str, float], step: int, seed: int = seed) -> None:
            run.log({f"seed_{seed}/{name}": value for name, value in metrics.items()}, step)

        resumes.append(Resume(state / f"seed_{seed}", config=config, compute=compute, data=data, seed=seed))
        model, history = classification.finetune(
            deepcopy(base.model),
            texts["train"],
            labels["train"],
            config,
            compute,
            seed=seed,
            log=log,
            evaluate=val_scores,
            resume=resumes[-1],
            description=f"finetune_spam, seed {seed}",
            blocks=blocks,
        )
        curves += [{"seed": seed, **row} for row in history]
        for split in ("val", "test"):
            found[seed, split] = classification.predict_spam(model, texts[split], blocks=blocks)
        score = kept_row(history)["val/mcc"]
        if best is None or score > best[0]:
            best = (score, model)
    assert best is not None
    save_checkpoint(
        out,
        best[1],
        base.tokenizer,
        # what serves by itself is kept whole, unless it is adapters
        base=pretrained if config.lora or (config.trainable_blocks is not None and not model_name) else None,
        lora=config.lora,
        labels=LABELS,
        params={"finetune_spam": asdict(config)},
        data=data,
    )
    write_predictions(predictions, splits, found)
    write_curve(curve, curves)
    run.artifact(predictions, "predictions")
    run.artifact(curve, "curves")
    run.pointer(out / "model.safetensors", "checkpoint")
    if model_name is not None:
        run.register(
            out,
            model_name,
            input_example=["Are we still meeting for lunch?", "You have WON a prize! Call now to claim"],
            params={},
            metrics={"val_mcc": best[0]},
        )
    for resume in resumes:
        resume.clear()
