"""Describe the parts of the trained models, and their attention on a sentence from params.yaml."""

from pathlib import Path

from groundup.files import atomic_path, write_json
from groundup.inspection.config import ExplainConfig
from groundup.tracking import Run
from groundup.training.config import ComputeConfig


def main(
    run: Run,
    pretrained: Path,
    causal: Path,
    masked: Path,
    translation: Path,
    shown: Path,
    metrics: Path,
    *,
    explain: ExplainConfig,
    compute: ComputeConfig,
) -> None:
    """Run each model on the sentence; write facts and attention maps for the page, and the sizes of the models."""
    from groundup.checkpoint import load_checkpoint
    from groundup.inspection import explanation
    from groundup.inspection.attention_maps import save_maps
    from groundup.training.devices import pick_device

    device = pick_device(compute)
    models = {
        "decoder": load_checkpoint(pretrained, device, "decoder"),
        "encoder": load_checkpoint(masked, device, "encoder"),
        "encoder_decoder": load_checkpoint(translation, device, "encoder_decoder"),
    }
    found = explanation.explain(models, load_checkpoint(causal, device, "decoder"), explain)
    with atomic_path(shown) as folder:
        folder.mkdir()
        write_json(folder / "facts.json", found.facts)
        save_maps(folder / "maps.npz", found.maps)
    write_json(metrics, found.metrics)
    run.artifact(metrics)
