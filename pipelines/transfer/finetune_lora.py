"""Finetune the downloaded model on the instructions with LoRA: adapters are trained, its own weights stay frozen."""

from pathlib import Path

from groundup.generation.prompts import templates_of
from groundup.generation.sampling import INFERENCE_PARAMS
from groundup.tracking import Run
from groundup.training.config import ComputeConfig, LoRATrainingConfig

MODEL_NAME = "groundup-published-chat"  # do not rename: users have it in their model registries


def main(
    run: Run,
    published: Path,
    instructions: Path,
    rehearsal: Path,
    out: Path,
    curve: Path,
    state: Path,
    *,
    finetune_lora: LoRATrainingConfig,
    compute: ComputeConfig,
) -> None:
    """Write the adapters, which name their base model; with `lora: null`, write a whole finetuned model."""
    from groundup.tasks.instructions import finetune_checkpoint
    from groundup.training.resume import clear_states

    paths = (published, instructions, out, curve, state)
    run.reads(instructions / "train.jsonl", "instructions-train", "training")
    val = run.reads(instructions / "val.jsonl", "instructions-val", "validation")
    val_loss = finetune_checkpoint(
        *paths, config=finetune_lora, compute=compute, log=run.log, rehearsal=rehearsal
    )
    run.artifact(curve, "curves")
    run.pointer(out / "model.safetensors", "checkpoint")
    run.register(
        out,
        MODEL_NAME,
        input_example=["Say the first word.\n\ntea, red, house"],
        params=INFERENCE_PARAMS,
        metrics={"val/loss": val_loss},
        dataset=val,
        templates=templates_of(finetune_lora.prompt_style),
        card="Answers instructions: the downloaded model, finetuned on this project's instructions.",
    )
    clear_states(state)
