"""Train the LoRA model with direct preference optimisation (DPO), which makes chosen answers more likely."""

from pathlib import Path

from groundup.files import write_json
from groundup.generation.sampling import INFERENCE_PARAMS
from groundup.tracking import Run
from groundup.training.config import ComputeConfig, PreferenceConfig

MODEL_NAME = "groundup-published-preferred"  # do not rename: users have it in their model registries


def main(
    run: Run,
    lora: Path,
    pairs: Path,
    out: Path,
    metrics: Path,
    curve: Path,
    state: Path,
    *,
    dpo: PreferenceConfig,
    compute: ComputeConfig,
) -> None:
    """Write adapters for the model `lora`, which is also the reference model, and their metrics and curve on val."""
    from groundup.tasks.preferences import finetune_checkpoint
    from groundup.training.resume import clear_states

    run.reads(pairs / "train.jsonl", "pairs-train", "training")
    val = run.reads(pairs / "val.jsonl", "pairs-val", "validation")
    found = finetune_checkpoint(lora, pairs, out, curve, state, config=dpo, compute=compute, log=run.log)
    scores = found["val"]
    write_json(metrics, {**found, "val": {name: round(value, 6) for name, value in scores.items()}})
    run.artifact(curve, "curves")
    run.pointer(out / "model.safetensors", "checkpoint")
    run.register(
        out,
        MODEL_NAME,
        input_example=["Say the first word.\n\ntea, red, house"],
        params=INFERENCE_PARAMS,
        metrics={f"val/{name}": value for name, value in scores.items()},
        dataset=val,
        card="Answers instructions: the finetuned downloaded model, then trained on preferences (DPO).",
    )
    clear_states(state)
