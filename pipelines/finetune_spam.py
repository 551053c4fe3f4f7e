"""Finetune the pretrained decoder to classify messages: one classifier a seed, the best on val is kept."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from groundup.atomic import atomic_path
from groundup.datasets.jsonl import read_jsonl
from groundup.params import load_params
from groundup.recipes import ComputeConfig, SpamTrainingConfig
from groundup.tracking import Run
from pipelines.stage import run_stage

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
    import torch
    from sklearn.metrics import matthews_corrcoef

    from groundup import classification
    from groundup.checkpoint import load_checkpoint, save_checkpoint
    from groundup.objectives import classification as objective
    from groundup.training import Resume, fit, pick_device

    rows = {split: read_jsonl(spam / f"{split}.jsonl") for split in ("train", "val", "test")}
    device = pick_device(compute)
    data = {name: _sha256(spam / f"{name}.jsonl") for name in rows}
    data["pretrained"] = _sha256(pretrained / "model.safetensors")
    labels = [row["label"] for row in rows["train"]]
    weights = classification.class_weights(labels, finetune_spam)
    found: list[dict[str, Any]] = []
    curves: list[dict[str, float]] = []
    resumes: list[Resume] = []
    best: tuple[float, Any, Any] | None = None
    for seed in finetune_spam.seeds:
        base = load_checkpoint(pretrained, device)
        ids = {
            split: classification.encode_texts(
                base.tokenizer, [r["text"] for r in part], base.config.model.context_length
            )
            for split, part in rows.items()
        }
        torch.manual_seed(seed)
        model = classification.make_classifier(base.model, finetune_spam)

        def val_scores(step: int, model: Any = model, ids: Any = ids) -> dict[str, float]:
            spam_wins = [p[1] >= 0.5 for p in classification.predict(model, ids["val"])]
            truth = [row["label"] == "spam" for row in rows["val"]]
            return {"val/mcc": float(matthews_corrcoef(truth, spam_wins))}

        def log(metrics: Mapping[str, float], step: int, seed: int = seed) -> None:
            run.log({f"seed_{seed}/{name}": value for name, value in metrics.items()}, step)

        resumes.append(
            Resume(state / f"seed_{seed}", config=finetune_spam, compute=compute, data=data, seed=seed)
        )
        history = fit(
            model,
            partial(objective, class_weights=weights, lm_weight=finetune_spam.lm_weight),
            classification.training_batches(ids["train"], labels, finetune_spam.training, seed),
            finetune_spam.training,
            compute,
            seed=seed,
            log=log,
            evaluate=val_scores,
            resume=resumes[-1],
            description=f"finetune_spam, seed {seed}",
        )
        curves += [{"seed": seed, **row} for row in history]
        for split in ("val", "test"):
            found += _predictions(seed, split, rows[split], classification.predict(model, ids[split]))
        score = history[-1]["val/mcc"]
        if best is None or score > best[0]:
            best = (score, model, base.tokenizer)
    assert best is not None
    save_checkpoint(
        out,
        best[1],
        best[2],
        labels=classification.LABELS,
        params={"finetune_spam": asdict(finetune_spam)},
        data=data,
    )
    with atomic_path(predictions) as temporary:
        pd.DataFrame(found).to_csv(temporary, index=False, float_format="%.6f")
    with atomic_path(curve) as temporary:
        pd.DataFrame(curves).set_index("step").to_csv(temporary, float_format="%.6g")
    run.artifact(predictions, "predictions")
    run.artifact(curve, "curves")
    run.pointer(out / "model.safetensors", "checkpoint")
    run.register(
        out,
        MODEL_NAME,
        input_example=["Are we still meeting for lunch?", "You have WON a prize! Call now to claim"],
        params={},
        metrics={"val_mcc": best[0]},
    )
    for resume in resumes:
        resume.clear()


def _predictions(
    seed: int, split: str, rows: Sequence[dict[str, Any]], probabilities: Sequence[Sequence[float]]
) -> list[dict[str, Any]]:
    return [
        {"seed": seed, "split": split, "id": row["id"], "label": row["label"], "spam_probability": p[1]}
        for row, p in zip(rows, probabilities, strict=True)
    ]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    params = load_params(Path("params.yaml"))
    run_stage(main, finetune_spam=params.finetune_spam, compute=params.compute)
