"""Finetune the pretrained decoder to follow instructions."""

from dataclasses import asdict
from pathlib import Path

from groundup.errors import BadInput
from groundup.generation.sampling import INFERENCE_PARAMS
from groundup.text.jsonl import read_splits
from groundup.tracking import Run
from groundup.training.config import ComputeConfig, InstructionTrainingConfig
from groundup.training.curves import write_curve

MODEL_NAME = "groundup-chat"  # in the model registry


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
    paths = (pretrained, instructions, out, curve, state)
    teach(run, *paths, config=finetune_instructions, compute=compute, model_name=MODEL_NAME)


def teach(
    run: Run,
    pretrained: Path,
    instructions: Path,
    out: Path,
    curve: Path,
    state: Path,
    *,
    config: InstructionTrainingConfig,
    compute: ComputeConfig,
    model_name: str,
) -> None:
    """The work of this stage on any starting point; the model is registered as `model_name`."""
    from groundup.checkpoint import TITLES, fingerprint, load_checkpoint, save_checkpoint
    from groundup.datasets.subsets import nested_subset
    from groundup.tasks.instructions import encode_examples, encode_prompts, finetune
    from groundup.training.devices import pick_device
    from groundup.training.loop import kept_row
    from groundup.training.resume import Resume

    base = load_checkpoint(pretrained, pick_device(compute))
    if base.kind != "decoder":
        raise BadInput(
            f"{pretrained} holds {TITLES[base.kind]}, which reads texts but writes none; expected a decoder: set "
            f"pretrained in params.yaml to another model, or finetune this one for spam (dvc repro finetune_spam)."
        )
    context, prompter = base.config.model.context_length, base.prompter(config.prompt_style)
    rows = read_splits(instructions, ("train", "val", "test", "held_out"))
    chosen = nested_subset([row["family"] for row in rows["train"]], config.max_examples, config.seed)
    rows["train"] = [rows["train"][i] for i in chosen]
    examples = {split: encode_examples(prompter, rows[split], context) for split in ("train", "val")}
    for split in ("test", "held_out"):  # tell before the training, not after it
        encode_prompts(prompter, rows[split], context)
    data = {split: fingerprint(instructions / f"{split}.jsonl") for split in examples}
    data["pretrained"] = fingerprint(pretrained / "model.safetensors")
    resume = Resume(state, config=config, compute=compute, data=data)
    history = finetune(
        base.model,
        examples["train"],
        examples["val"],
        config,
        compute,
        log=run.log,
        resume=resume,
        description="finetune_instructions",
    )
    save_checkpoint(
        out,
        base.model,
        base.tokenizer,
        base=pretrained if config.lora else None,
        lora=config.lora,
        prompt_style=config.prompt_style,
        chat_template=base.config.chat_template,
        stop_ids=base.config.stop_ids,
        params={"finetune_instructions": asdict(config)},
        data=data,
    )
    write_curve(curve, history)
    run.artifact(curve, "curves")
    run.pointer(out / "model.safetensors", "checkpoint")
    run.register(
        out,
        model_name,
        input_example=["Say the first word.\n\ntea, red, house"],
        params=INFERENCE_PARAMS,
        metrics={"val_loss": kept_row(history)["val/loss"]},
    )
    resume.clear()
