"""Stage dpo: of two answers to a request, the chosen one made likelier than the rejected one."""

from dataclasses import asdict
from pathlib import Path

from groundup.datasets.subsets import nested_subset
from groundup.files import write_json
from groundup.generation.sampling import INFERENCE_PARAMS
from groundup.text.jsonl import read_splits
from groundup.tracking import Run
from groundup.training.config import ComputeConfig, PreferenceConfig
from groundup.training.curves import write_curve

MODEL_NAME = "groundup-published-preferred"  # in the model registry


def main(
    run: Run,
    taught: Path,
    pairs: Path,
    out: Path,
    metrics: Path,
    curve: Path,
    state: Path,
    *,
    dpo: PreferenceConfig,
    compute: ComputeConfig,
) -> None:
    """Write adapters for the model `taught`, which is also the reference."""
    from groundup.checkpoint import fingerprint, load_checkpoint, save_checkpoint
    from groundup.tasks.preferences import preferences, tune
    from groundup.training.devices import pick_device
    from groundup.training.loop import kept_row
    from groundup.training.resume import Resume

    config = dpo
    reference = load_checkpoint(taught, pick_device(compute), "decoder")
    sizes = {"train": config.max_examples, "val": config.eval_examples}
    rows = read_splits(pairs, sizes)
    for split, size in sizes.items():
        chosen = nested_subset([row["family"] for row in rows[split]], size, config.seed)
        rows[split] = [rows[split][i] for i in chosen]
    prompter = reference.prompter()
    train, val = (
        preferences(prompter, rows[split], reference.config.model.context_length) for split in sizes
    )
    data = {split: fingerprint(pairs / f"{split}.jsonl") for split in sizes}
    data["reference"] = fingerprint(taught / "model.safetensors")
    resume = Resume(state, config=config, compute=compute, data=data)
    history = tune(
        reference.model,
        train,
        val,
        config,
        compute,
        log=run.log,
        resume=resume,
        description="dpo",
    )
    save_checkpoint(
        out,
        reference.model,
        reference.tokenizer,
        base=taught,
        lora=config.lora,
        prompt_style=reference.prompt_style,
        chat_template=reference.config.chat_template,
        stop_ids=reference.config.stop_ids,
        params={"dpo": asdict(config)},
        data=data,
    )
    scores = {
        name.removeprefix("val/"): v for name, v in kept_row(history).items() if name.startswith("val/")
    }
    write_json(
        metrics, {"pairs": len(train), "val": {name: round(value, 6) for name, value in scores.items()}}
    )
    write_curve(curve, history)
    run.artifact(curve, "curves")
    run.pointer(out / "model.safetensors", "checkpoint")
    run.register(
        out,
        MODEL_NAME,
        input_example=["Say the first word.\n\ntea, red, house"],
        params=INFERENCE_PARAMS,
        metrics={f"val_{name}": value for name, value in scores.items()},
    )
    resume.clear()
