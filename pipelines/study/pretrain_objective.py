"""Pretrain a decoder on next tokens or an encoder on masked ones, with the same shape, text and time."""

from pathlib import Path

from groundup.files import write_json
from groundup.tracking import Run
from groundup.training.config import ComputeConfig, ObjectivesConfig


def main(
    run: Run,
    objective: str,
    tokens: Path,
    tokenizer: Path,
    out: Path,
    metrics: Path,
    curve: Path,
    state: Path,
    *,
    objectives: ObjectivesConfig,
    compute: ComputeConfig,
) -> None:
    """Write the checkpoint, its accuracy on val with that of the baselines, and the curve."""
    from groundup.tasks.objective_pretraining import pretrain_objective
    from groundup.training.resume import clear_states

    run.reads(tokens / "train.bin", "tokens-train", "training")
    run.reads(tokens / "val.bin", "tokens-val", "validation")
    paths = (tokens, tokenizer, out, curve, state)
    found = pretrain_objective(objective, *paths, config=objectives, compute=compute, log=run.log)
    run.artifact(curve, "curves")
    run.pointer(out / "model.safetensors", "checkpoint")
    run.log({"val/accuracy": found["accuracy"]["model"]["mean"]}, step=found["steps"])
    write_json(metrics, found)
    clear_states(state)
