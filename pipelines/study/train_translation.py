"""Train an encoder-decoder to translate King James verses into Basic English."""

from dataclasses import asdict
from pathlib import Path

from groundup.files import write_json
from groundup.tracking import Run
from groundup.training.config import ComputeConfig, TranslationConfig
from groundup.training.curves import write_curve


def main(
    run: Run,
    verses: Path,
    gate: Path,
    out: Path,
    curve: Path,
    metrics: Path,
    state: Path,
    *,
    translation: TranslationConfig,
    compute: ComputeConfig,
) -> None:
    """Write the checkpoint, the curve and the loss on all of val; `gate` only makes DVC run check_verses first."""
    from groundup.checkpoint import fingerprint, save_checkpoint
    from groundup.tasks.translation_training import train_translator
    from groundup.text.jsonl import read_splits
    from groundup.training.resume import Resume

    run.reads(verses / "train.jsonl", "verses-train", "training")
    run.reads(verses / "val.jsonl", "verses-val", "validation")
    data = {split: fingerprint(verses / f"{split}.jsonl") for split in ("train", "val")}
    resume = Resume(state, translation=translation, compute=compute, data=data)
    trained = train_translator(
        read_splits(verses, ("train", "val", "test")),
        translation,
        compute,
        log=run.log,
        show=lambda text, step: run.text(text, f"samples/step_{step:06d}.txt"),
        resume=resume,
    )
    params = {"translation": asdict(translation)}
    save_checkpoint(out, trained.model, trained.vocabulary, params=params, data=data)
    sizes, val_loss = trained.sizes(), trained.val_loss(translation.training.batch_size)
    run.log({"val/loss": val_loss}, step=int(sizes["steps"]))
    write_json(metrics, {"val_loss": round(val_loss, 6), **sizes})
    write_curve(curve, trained.history)
    run.artifact(curve, "curves")
    run.pointer(out / "model.safetensors", "checkpoint")
    resume.clear()
