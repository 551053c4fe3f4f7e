"""Finetune the pretrained decoder to follow instructions."""

from dataclasses import asdict
from pathlib import Path

from groundup.datasets.jsonl import read_splits
from groundup.evaluation.curves import write_curve
from groundup.params import load_params
from groundup.recipes import ComputeConfig, InstructionTrainingConfig
from groundup.sampling import INFERENCE_PARAMS
from groundup.tracking import Run
from pipelines.stage import run_stage

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
    import torch

    from groundup.checkpoint import fingerprint, load_checkpoint, save_checkpoint
    from groundup.instruction_tuning import answer_loss, completion_batches, encode_examples, encode_prompts
    from groundup.objectives import causal_lm
    from groundup.training import Resume, fit, pick_device

    config, training = finetune_instructions, finetune_instructions.training
    base = load_checkpoint(pretrained, pick_device(compute))
    context, prompter = base.config.model.context_length, base.prompter(config.prompt_style)
    examples = {
        split: encode_examples(prompter, rows, context)
        for split, rows in read_splits(instructions, ("train", "val")).items()
    }
    for rows in read_splits(
        instructions, ("test", "held_out")
    ).values():  # tell before the training, not after it
        encode_prompts(prompter, rows, context)
    prompts, completions = (part[: config.eval_examples] for part in examples["val"])

    def val_loss(step: int) -> dict[str, float]:
        return {"val/loss": answer_loss(base.model, prompts, completions, training.batch_size)}

    data = {split: fingerprint(instructions / f"{split}.jsonl") for split in examples}
    data["pretrained"] = fingerprint(pretrained / "model.safetensors")
    resume = Resume(state, config=config, compute=compute, data=data)
    torch.manual_seed(config.seed)
    history = fit(
        base.model,
        causal_lm,
        completion_batches(*examples["train"], training, config.seed),
        training,
        compute,
        seed=config.seed,
        log=run.log,
        evaluate=val_loss,
        resume=resume,
        description="finetune_instructions",
    )
    save_checkpoint(
        out,
        base.model,
        base.tokenizer,
        prompt_style=config.prompt_style,
        params={"finetune_instructions": asdict(config)},
        data=data,
    )
    write_curve(curve, history)
    run.artifact(curve, "curves")
    run.pointer(out / "model.safetensors", "checkpoint")
    run.register(
        out,
        MODEL_NAME,
        input_example=["Say the first word.\n\ntea, red, house"],
        params=INFERENCE_PARAMS,
        metrics={"val_loss": history[-1]["val/loss"]},
    )
    resume.clear()


if __name__ == "__main__":
    params = load_params(Path("params.yaml"))
    run_stage(main, finetune_instructions=params.finetune_instructions, compute=params.compute)
