"""Prepare texts that the downloaded model rehearses while it learns the tasks; write train.jsonl and val.jsonl."""

from pathlib import Path

from groundup.datasets.talks import RehearsalTextsConfig
from groundup.text.jsonl import read_jsonl, write_splits
from groundup.tracking import Run
from groundup.training.config import ComputeConfig
from groundup.training.shards import read_documents

VAL_EVERY = 10  # one text in ten measures the divergence and is not trained on


def main(
    run: Run,
    published: Path,
    corpus: Path,
    instructions: Path,
    out: Path,
    *,
    rehearsal: RehearsalTextsConfig,
    compute: ComputeConfig,
) -> None:
    """Let the downloaded model answer everyday questions, and choose conversations of the training corpus."""
    from groundup.checkpoint import load_checkpoint
    from groundup.tasks.talks import conversations, talks
    from groundup.training.devices import pick_device

    model = load_checkpoint(published, pick_device(compute))
    rows = [
        *(
            talks(model, read_jsonl(instructions / "train.jsonl"), rehearsal)
            if model.config.chat_template
            else []
        ),
        *conversations(model.tokenizer, read_documents(corpus / "train.jsonl"), rehearsal),
    ]
    val = rows[::VAL_EVERY]
    train = [row for n, row in enumerate(rows) if n % VAL_EVERY]
    sizes = {"train": len(train), "val": len(val)}
    write_splits(out, {"train": train, "val": val}, {"rows": sizes})
    run.log({f"{name}/rows": size for name, size in sizes.items()})
    run.artifact(out / "train.jsonl")
