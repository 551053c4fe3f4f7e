"""Measure a start before its spam finetuning: bits per byte, exact match on verifiable tasks, questions answered."""

from pathlib import Path
from typing import Any

from groundup.evaluation.config import EvaluateStartsConfig
from groundup.files import write_json
from groundup.text.jsonl import read_splits, write_jsonl
from groundup.tracking import Run
from groundup.training.config import ComputeConfig
from groundup.training.shards import read_documents

TASKS = 3  # number of solved tasks that begin the conversations of the second round of questions


def main(
    run: Run,
    model: Path,
    corpus: Path,
    instructions: Path,
    responses: Path,
    metrics: Path,
    *,
    evaluate_starts: EvaluateStartsConfig,
    compute: ComputeConfig,
) -> None:
    """Measure the model on held-out conversations, unseen task instances, held-out families and fifty questions."""
    from groundup.checkpoint import load_checkpoint
    from groundup.evaluation.language_model import document_bits
    from groundup.tasks.instruction_responses import answer_questions, answer_sample
    from groundup.training.devices import pick_device

    checkpoint = load_checkpoint(model, pick_device(compute), "decoder")
    documents = [*read_documents(corpus / "val.jsonl")][: evaluate_starts.conversations]
    found: dict[str, Any] = {
        "parameters": sum(p.numel() for p in checkpoint.model.parameters()),
        **document_bits(checkpoint.model, checkpoint.tokenizer, documents, evaluate_starts.window),
    }
    answers: list[dict[str, Any]] = []
    splits = read_splits(instructions, ("test", "held_out"))
    found["questions"] = answer_questions(checkpoint, splits["test"][:TASKS], evaluate_starts)
    for name, rows in splits.items():
        run.reads(instructions / f"{name}.jsonl", f"instructions-{name}", "test")
        answered, found[name] = answer_sample(checkpoint, rows, evaluate_starts, description=f"answer {name}")
        answers += [{**row, "split": name, "response": response} for row, response in answered]
    write_jsonl(responses, answers)
    write_json(metrics, found)
    figures = {f"{name}/exact_match": found[name]["exact_match"] for name in ("test", "held_out")}
    run.figures(model / "model.safetensors", {**figures, "bits_per_byte": found["bits_per_byte"]})
    run.artifact(metrics)
    run.artifact(responses)
