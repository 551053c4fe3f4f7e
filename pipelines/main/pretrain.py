"""Pretrain the decoder from random weights on the token shards, and measure it on held-out conversations."""

from pathlib import Path

from groundup.evaluation.cards import pretraining_card
from groundup.files import write_json
from groundup.generation.sampling import CONTINUATION_PARAMS
from groundup.nn.config import ModelParams
from groundup.text.fingerprints import fingerprints
from groundup.tracking import Run
from groundup.tracking.registry import PRETRAINED_MODEL
from groundup.training.config import ComputeConfig, PretrainConfig


def main(
    run: Run,
    tokens: Path,
    tokenizer: Path,
    contamination: Path,
    out: Path,
    curve: Path,
    metrics: Path,
    state: Path,
    *,
    model: ModelParams,
    pretrain: PretrainConfig,
    compute: ComputeConfig,
) -> None:
    """Write the checkpoint, its loss curve and its metrics; `contamination` only makes DVC run check_splits first."""
    from groundup.planning.watch import watched
    from groundup.tasks.pretraining import pretrain_checkpoint
    from groundup.training import resume, shards

    paths = (tokens, tokenizer, out, curve, state)
    run.reads(tokens / "train.bin", "tokens-train", "training")
    log = watched(run, tokens, tokenizer, model, pretrain)
    figures = pretrain_checkpoint(
        *paths, model=model, config=pretrain, compute=compute, log=log, show=run.text
    )
    write_json(metrics, figures)
    run.artifact(curve, "curves")
    run.artifact(out / "config.json", "checkpoint")
    run.pointer(out / "model.safetensors", "checkpoint")
    run.register(
        out,
        PRETRAINED_MODEL,
        input_example=["Hi, how are you"],
        params=CONTINUATION_PARAMS,
        metrics={f"val/{name}": figures["val"][name] for name in ("bpb", "loss")},
        dataset=run.reads(tokens / "val.bin", "tokens-val", "validation"),
        trained_on=fingerprints({"text": text} for text in shards.decoded_texts(tokens, "train", tokenizer)),
        card=pretraining_card(figures),
    )
    resume.clear_states(state)
