"""Pretrain a decoder on next tokens, or an encoder of the same shape on masked tokens, with equal text and time."""

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
    """Write the checkpoint, the token accuracy of model and baselines on val, and the loss curve.

    `objective` is "causal" for the decoder or "masked" for the encoder.
    """
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
