"""Finetune the pretrained decoder to follow instructions."""

from pathlib import Path

from groundup.generation.prompts import templates_of
from groundup.generation.sampling import INFERENCE_PARAMS
from groundup.text.fingerprints import fingerprints
from groundup.text.jsonl import read_jsonl
from groundup.tracking import Run
from groundup.tracking.registry import INSTRUCTIONS_MODEL
from groundup.training.config import ComputeConfig, InstructionTrainingConfig


def main(
    run: Run,
    pretrained: Path,
    instructions: Path,
    out: Path,
    curve: Path,
    state: Path,
    *,
    finetune_instructions: InstructionTrainingConfig,
    compute: ComputeConfig,
) -> None:
    """Write the instruction model and its loss curve."""
    from groundup.tasks.instructions import finetune_checkpoint
    from groundup.training.resume import clear_states

    paths = (pretrained, instructions, out, curve, state)
    run.reads(instructions / "train.jsonl", "instructions-train", "training")
    val = run.reads(instructions / "val.jsonl", "instructions-val", "validation")
    val_loss = finetune_checkpoint(*paths, config=finetune_instructions, compute=compute, log=run.log)
    run.artifact(curve, "curves")
    run.pointer(out / "model.safetensors", "checkpoint")
    run.register(
        out,
        INSTRUCTIONS_MODEL,
        input_example=["Say the first word.\n\ntea, red, house"],
        params=INFERENCE_PARAMS,
        metrics={"val/loss": val_loss},
        dataset=val,
        templates=templates_of(finetune_instructions.prompt_style),
        trained_on=fingerprints(read_jsonl(instructions / "train.jsonl")),
    )
    clear_states(state)
