"""Finetune the pretrained decoder to follow instructions."""

import hashlib
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from groundup.atomic import atomic_path
from groundup.datasets.jsonl import read_jsonl
from groundup.params import load_params
from groundup.recipes import ComputeConfig, InstructionTrainingConfig
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

    from groundup.checkpoint import load_checkpoint, save_checkpoint
    from groundup.datasets.batching import completion_batch
    from groundup.instruction_tuning import completion_batches, encode_examples
    from groundup.objectives import causal_lm
    from groundup.training import Resume, fit, pick_device

    config, training = finetune_instructions, finetune_instructions.training
    device = pick_device(compute)
    base = load_checkpoint(pretrained, device)
    examples = {
        split: encode_examples(
            base.tokenizer,
            read_jsonl(instructions / f"{split}.jsonl"),
            config.prompt_style,
            base.config.model.context_length,
        )
        for split in ("train", "val")
    }
    prompts, completions = (part[: config.eval_examples] for part in examples["val"])

    def val_loss(step: int) -> dict[str, float]:
        nats = count = 0.0
        for start in range(0, len(prompts), training.batch_size):
            rows = slice(start, start + training.batch_size)
            loss, terms = causal_lm(base.model, completion_batch(prompts[rows], completions[rows]).to(device))
            nats, count = nats + float(loss), count + float(terms)
        return {"val/loss": nats / count}

    data = {
        split: hashlib.sha256((instructions / f"{split}.jsonl").read_bytes()).hexdigest()
        for split in examples
    }
    data["pretrained"] = hashlib.sha256((pretrained / "model.safetensors").read_bytes()).hexdigest()
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
    with atomic_path(curve) as temporary:
        pd.DataFrame(history).set_index("step").to_csv(temporary, float_format="%.6g")
    run.artifact(curve, "curves")
    run.pointer(out / "model.safetensors", "checkpoint")
    run.register(
        out,
        MODEL_NAME,
        input_example=["Say the first word.\n\ntea, red, house"],
        params={"temperature": 0.0, "max_new_tokens": 64, "top_k": 0, "top_p": 1.0, "seed": 0},
        metrics={"val_loss": history[-1]["val/loss"]},
    )
    resume.clear()


if __name__ == "__main__":
    params = load_params(Path("params.yaml"))
    run_stage(main, finetune_instructions=params.finetune_instructions, compute=params.compute)
