"""Download a pretrained model with its tokenizer and chat template, and save it as a checkpoint."""

from pathlib import Path

from groundup.tracking import Run


def main(run: Run, catalogue: Path, out: Path, state: Path, *, pretrained: str) -> None:
    """Download the model `pretrained`, or read it from a local folder or GGUF file, and check every tensor.

    `state` keeps an unfinished download. A model on the Hub has to be named by its commit.
    """
    from groundup.hub.fetching import fetch_published, require_commit
    from groundup.interop.published import save_published

    require_commit(pretrained)
    found = fetch_published(pretrained, catalogue, cache=state)
    save_published(found, out)
    run.tag("pretrained", pretrained)
    run.log({"parameters": sum(p.numel() for p in found.model.parameters())})
    run.artifact(out / "config.json", "checkpoint")
    run.pointer(out / "model.safetensors", "checkpoint")
