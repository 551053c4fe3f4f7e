"""Make the main pipeline's model with random weights: the start that was not pretrained."""

from pathlib import Path

from groundup.tracking import Run
from groundup.training.config import PretrainConfig


def main(run: Run, pretrained: Path, out: Path, *, pretrain: PretrainConfig) -> None:
    """Write a model with the shape and tokenizer of `pretrained`, initialised as in pretraining."""
    import torch

    from groundup.checkpoint import load_checkpoint, save_checkpoint
    from groundup.nn.decoder import Decoder

    trained = load_checkpoint(pretrained, kind="decoder")
    torch.manual_seed(pretrain.seed)
    save_checkpoint(out, Decoder(trained.config.model), trained.tokenizer)
    run.pointer(out / "model.safetensors", "checkpoint")
