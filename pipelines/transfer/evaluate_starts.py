"""Stage score: what a starting point knows before it is finetuned for spam: bits per byte, and the verifiable tasks."""

from pathlib import Path
from typing import Any

from groundup.evaluation.config import ScoreConfig
from groundup.files import write_json
from groundup.generation.prompts import Request
from groundup.text.documents import text_of
from groundup.text.jsonl import read_splits, write_jsonl
from groundup.tracking import Run
from groundup.training.config import ComputeConfig
from groundup.training.shards import read_documents
from groundup.verifiable.answers import check_for


def main(
    run: Run,
    model: Path,
    corpus: Path,
    instructions: Path,
    responses: Path,
    metrics: Path,
    *,
    evaluate_starts: ScoreConfig,
    compute: ComputeConfig,
) -> None:
    """Ask the model in its own prompt style, or the default one where it was taught none, greedily."""
    from groundup.checkpoint import load_checkpoint
    from groundup.datasets.subsets import nested_subset
    from groundup.evaluation.language_model import bits_per_byte, nats_of_texts
    from groundup.tasks.instructions import respond
    from groundup.training.devices import pick_device
    from groundup.verifiable import exact_match

    checkpoint = load_checkpoint(model, pick_device(compute), "decoder")
    documents = [*read_documents(corpus / "val.jsonl")][: evaluate_starts.conversations]
    n_bytes = sum(len(message.encode()) for messages in documents for message in messages)
    texts = [text_of(messages) for messages in documents]
    nats = nats_of_texts(checkpoint.model, checkpoint.tokenizer, texts, evaluate_starts.window)
    found: dict[str, Any] = {
        "parameters": sum(p.numel() for p in checkpoint.model.parameters()),
        "bits_per_byte": round(bits_per_byte(nats, n_bytes), 6),
        "bytes": n_bytes,
    }
    run.log({"bits_per_byte": found["bits_per_byte"]})
    answers: list[dict[str, Any]] = []
    for name, rows in read_splits(instructions, ("test", "held_out")).items():
        chosen = nested_subset(
            [row["family"] for row in rows], min(evaluate_starts.instances, len(rows)), evaluate_starts.seed
        )
        asked = [rows[i] for i in chosen]
        given = respond(
            checkpoint,
            [Request.of(row) for row in asked],
            max_new_tokens=evaluate_starts.max_new_tokens,
            batch_size=evaluate_starts.batch_size,
            description=f"answer {name}",
        )
        found[name] = exact_match.score(asked, given, check_for(rows))
        run.log({f"{name}/exact_match": found[name]["exact_match"]["mean"]})
        answers += [
            {**row, "split": name, "response": answer} for row, answer in zip(asked, given, strict=True)
        ]
    write_jsonl(responses, answers)
    write_json(metrics, found)
    run.artifact(metrics)
    run.artifact(responses)
