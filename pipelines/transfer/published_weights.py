"""Stage published_weights: a published model, its tokenizer and its chat template as a checkpoint."""

from pathlib import Path

from groundup.tracking import Run


def main(run: Run, catalogue: Path, out: Path, *, pretrained: str) -> None:
    """Fetch the model, or read it where it lies, and check every tensor."""
    from groundup.interop.fetching import fetch_published
    from groundup.interop.published import save_published

    found = fetch_published(pretrained, catalogue)
    save_published(found, out)
    run.log({"parameters": sum(p.numel() for p in found.model.parameters())})
    run.artifact(out / "config.json", "checkpoint")
    run.pointer(out / "model.safetensors", "checkpoint")
