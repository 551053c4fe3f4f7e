"""Stage score: what a starting point knows before it is finetuned for spam: bits per byte, and the verifiable tasks."""

from pathlib import Path
from typing import Any

from groundup.atomic import write_json
from groundup.datasets.answers import check_for
from groundup.datasets.documents import text_of
from groundup.datasets.jsonl import read_splits, write_jsonl
from groundup.datasets.shards import read_documents
from groundup.evaluation.config import ScoreConfig
from groundup.prompts import Request
from groundup.published_params import load_published_params
from groundup.recipes import ComputeConfig
from groundup.tracking import Run
from pipelines.stage import run_stage


def main(
    run: Run,
    model: Path,
    corpus: Path,
    instructions: Path,
    responses: Path,
    metrics: Path,
    *,
    score: ScoreConfig,
    compute: ComputeConfig,
) -> None:
    """Ask the model in its own prompt style, or the default one where it was taught none, greedily."""
    from groundup.checkpoint import load_checkpoint
    from groundup.datasets.subsets import nested_subset
    from groundup.evaluation import exact_match
    from groundup.evaluation.language_model import bits_per_byte, nats_of_texts
    from groundup.instruction_tuning import respond
    from groundup.training import pick_device

    checkpoint = load_checkpoint(model, pick_device(compute), "decoder")
    documents = [*read_documents(corpus / "val.jsonl")][: score.conversations]
    n_bytes = sum(len(message.encode()) for messages in documents for message in messages)
    texts = [text_of(messages) for messages in documents]
    nats = nats_of_texts(checkpoint.model, checkpoint.tokenizer, texts, score.window)
    found: dict[str, Any] = {
        "parameters": sum(p.numel() for p in checkpoint.model.parameters()),
        "bits_per_byte": round(bits_per_byte(nats, n_bytes), 6),
        "bytes": n_bytes,
    }
    run.log({"bits_per_byte": found["bits_per_byte"]})
    answers: list[dict[str, Any]] = []
    for name, rows in read_splits(instructions, ("test", "held_out")).items():
        chosen = nested_subset([row["family"] for row in rows], min(score.instances, len(rows)), score.seed)
        asked = [rows[i] for i in chosen]
        given = respond(
            checkpoint,
            [Request.of(row) for row in asked],
            max_new_tokens=score.max_new_tokens,
            batch_size=score.batch_size,
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


if __name__ == "__main__":
    params = load_published_params(Path("params.yaml"), Path("pipelines/published/params.yaml"))
    run_stage(main, score=params.score, compute=params.compute)
