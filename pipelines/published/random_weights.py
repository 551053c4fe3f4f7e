"""Stage random_weights: the main pipeline's model before it read anything, the floor of every comparison."""

from pathlib import Path

from groundup.published_params import load_published_params
from groundup.recipes import PretrainConfig
from groundup.tracking import Run
from pipelines.stage import run_stage


def main(run: Run, pretrained: Path, out: Path, *, pretrain: PretrainConfig) -> None:
    """Write a model of the shape and with the tokenizer of `pretrained`, as pretraining began it."""
    import torch

    from groundup.checkpoint import load_checkpoint, save_checkpoint
    from groundup.nn.decoder import Decoder

    trained = load_checkpoint(pretrained, kind="decoder")
    torch.manual_seed(pretrain.seed)
    save_checkpoint(out, Decoder(trained.config.model), trained.tokenizer)
    run.pointer(out / "model.safetensors", "checkpoint")


if __name__ == "__main__":
    params = load_published_params(Path("params.yaml"), Path("pipelines/published/params.yaml"))
    run_stage(main, pretrain=params.pretrain)
